// The tour with @modelcontextprotocol/client 2.x, pinned to a modern revision or legacy, over HTTP, SSE or stdio.
//   node drive_ts_client.mjs <plan as JSON> <folder of the environment>

import { capabilities, finish, formAnswer, headers, news, packages, plan, rootsAnswer, sampleAnswer, takeTour } from './tour.mjs';

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
client.setNotificationHandler('notifications/tools/list_changed', () => void news.push('tools'));
client.setNotificationHandler('notifications/prompts/list_changed', () => void news.push('prompts'));
client.setNotificationHandler('notifications/resources/updated', (message) => void news.push(message.params.uri));

async function watch(uri) {
  if (client.getProtocolEra() === 'modern') {
    const filter = { toolsListChanged: true, promptsListChanged: true, resourceSubscriptions: [uri] };
    const subscription = await client.listen(filter);
    return () => subscription.close();
  }
  await client.subscribeResource({ uri });
  return () => client.unsubscribeResource({ uri });
}

await client.connect(transport());
const facts = await takeTour(client, (params, options) => client.callTool(params, options), watch, async () => ({
  revision: client.getNegotiatedProtocolVersion(),
  server: client.getServerVersion()?.name ?? null,
  capabilities: Object.keys(client.getServerCapabilities() ?? {}).sort()
}));
await finish(client, facts);
