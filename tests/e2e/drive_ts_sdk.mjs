// The tour with @modelcontextprotocol/sdk 1.x over Streamable HTTP, HTTP+SSE, stdio or WebSocket.
//   node drive_ts_sdk.mjs <plan as JSON> <folder of the environment>

import { capabilities, finish, formAnswer, headers, news, packages, plan, rootsAnswer, sampleAnswer, takeTour } from './tour.mjs';

const { Client } = packages('@modelcontextprotocol/sdk/client/index.js');
const { SSEClientTransport } = packages('@modelcontextprotocol/sdk/client/sse.js');
const { StdioClientTransport } = packages('@modelcontextprotocol/sdk/client/stdio.js');
const { StreamableHTTPClientTransport } = packages('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { WebSocketClientTransport } = packages('@modelcontextprotocol/sdk/client/websocket.js');
const {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  PromptListChangedNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema
} = packages('@modelcontextprotocol/sdk/types.js');

function transport() {
  const options = { requestInit: { headers } };
  if (plan.transport === 'http') return new StreamableHTTPClientTransport(new URL(plan.url), options);
  if (plan.transport === 'sse') return new SSEClientTransport(new URL(plan.url), options);
  if (plan.transport === 'websocket') return new WebSocketClientTransport(new URL(plan.url));
  return new StdioClientTransport({ command: plan.command[0], args: plan.command.slice(1), env: plan.environ });
}

const client = new Client({ name: 'tour', version: '1.0.0' }, { capabilities });
if (plan.interactive) {
  client.setRequestHandler(CreateMessageRequestSchema, async () => sampleAnswer);
  client.setRequestHandler(ElicitRequestSchema, async () => formAnswer);
  client.setRequestHandler(ListRootsRequestSchema, async () => rootsAnswer);
}
client.setNotificationHandler(ToolListChangedNotificationSchema, () => void news.push('tools'));
client.setNotificationHandler(PromptListChangedNotificationSchema, () => void news.push('prompts'));
client.setNotificationHandler(ResourceUpdatedNotificationSchema, (message) => void news.push(message.params.uri));

async function watch(uri) {
  await client.subscribeResource({ uri });
  return () => client.unsubscribeResource({ uri });
}

// the client does not say which revision was agreed on, but it tells its transport
let revision = null;
const way = transport();
const setVersion = way.setProtocolVersion?.bind(way);
way.setProtocolVersion = (version) => {
  revision = version;
  setVersion?.(version);
};
await client.connect(way);
const call = (params, options) => client.callTool(params, undefined, options);
const facts = await takeTour(client, call, watch, async () => ({
  revision,
  server: client.getServerVersion()?.name ?? null,
  capabilities: Object.keys(client.getServerCapabilities() ?? {}).sort()
}));
await finish(client, facts);
