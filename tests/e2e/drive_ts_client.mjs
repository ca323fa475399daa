// The tour with @modelcontextprotocol/client 2.x, pinned to a modern revision or legacy, over HTTP, SSE or stdio.
//   node drive_ts_client.mjs <plan as JSON> <folder of the environment>

import { capabilities, finish, formAnswer, headers, packages, plan, rootsAnswer, sampleAnswer, takeTour } from './tour.mjs';

const { Client, SSEClientTransport, StreamableHTTPClientTransport } = packages('@modelcontextprotocol/client');
const { StdioClientTransport } = packages('@modelcontextprotocol/client/stdio');

function transport() {
  const options = { requestInit: { headers } };
  if (plan.transport === 'http') return new StreamableHTTPClientTransport(new URL(plan.url), options);
  if (plan.transport === 'sse') return new SSEClientTransport(new URL(plan.url), options);
  return new StdioClientTransport({ command: plan.command[0], args: plan.command.slice(1), env: plan.environ });
}

const mode = ['auto', 'legacy'].includes(plan.mode) ? plan.mode : { pin: plan.mode };
const client = new Client({ name: 'tour', version: '1.0.0' }, { capabilities, versionNegotiation: { mode } });
if (plan.interactive) {
  client.setRequestHandler('sampling/createMessage', async () => sampleAnswer);
  client.setRequestHandler('elicitation/create', async () => formAnswer);
  client.setRequestHandler('roots/list', async () => rootsAnswer);
}
await client.connect(transport());
const facts = await takeTour(client, (params, options) => client.callTool(params, options), async () => ({
  revision: client.getNegotiatedProtocolVersion(),
  server: client.getServerVersion()?.name ?? null,
  capabilities: Object.keys(client.getServerCapabilities() ?? {}).sort()
}));
await finish(client, facts);
