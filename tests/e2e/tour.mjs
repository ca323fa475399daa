// The tour for the TypeScript clients: the same steps and facts as tour.py. Plain JavaScript, no dependencies.
// A step that fails leaves {"failed": …} as its fact, so that one defect does not hide the others.

import { createRequire } from 'node:module';

const STEP_TIMEOUT_MS = 60_000;
const LONG = { duration: 0.6, steps: 3 };
const HEAR_TIMEOUT_MS = 20_000;
const WATCHED = 'test://watched-resource';

export const plan = JSON.parse(process.argv[2]);
export const packages = createRequire(`${process.argv[3]}/package.json`);
export const headers = plan.key ? { Authorization: `Bearer ${plan.key}` } : {};
export const formAnswer = { action: 'accept', content: { name: 'Ada', check: true, integer: 7 } };
export const sampleAnswer = {
  role: 'assistant',
  content: { type: 'text', text: 'Sampled for the tour' },
  model: 'tour-model',
  stopReason: 'endTurn'
};
export const rootsAnswer = { roots: [{ uri: `file://${plan.workspace}`, name: 'tour' }] };
export const capabilities = plan.interactive ? { sampling: {}, elicitation: {}, roots: {} } : {};

function texts(result) {
  const content = result.content ?? [];
  return {
    text: content.filter((block) => block.type === 'text').map((block) => block.text).join('\n'),
    types: content.map((block) => block.type),
    isError: Boolean(result.isError),
    structured: result.structuredContent ?? null,
    links: content.filter((block) => block.type === 'resource_link').map((block) => block.uri)
  };
}

async function within(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('the step took too long')), STEP_TIMEOUT_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// All names of a paged list. `list` takes the parameters of the request.
async function names(list, items, name) {
  const found = [];
  let cursor;
  do {
    const page = await list(cursor === undefined ? {} : { cursor });
    found.push(...page[items].map((item) => item[name]));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return found;
}

// What the client's notification handlers tell: `tools`, `prompts`, or a resource's URI.
export const news = [];

// `callTool` takes (parameters, options): the one verb whose signature differs between the clients.
// `watch` lets the client hear of changes, and resolves to the function that ends it.
export async function takeTour(client, callTool, watch, about) {
  const facts = {};
  const note = async (fact, step) => {
    try {
      facts[fact] = await within(step());
    } catch (problem) {
      facts[fact] = { failed: String(problem?.message ?? problem), code: problem?.code ?? null };
    }
  };
  const call = async (name, args, options) => texts(await callTool({ name, arguments: args }, options));

  const steps = {
    clock: async (prefix) => {
      const when = { source_timezone: 'UTC', time: '12:00', target_timezone: 'Asia/Tokyo' };
      await note('clock', () => call(`${prefix}convert_time`, when));
    },
    git: async (prefix) => {
      const where = { repo_path: `${plan.workspace}/repository`, max_count: 1 };
      await note('git', () => call(`${prefix}git_log`, where));
    },
    files: async (prefix) => {
      await note('files', () => call(`${prefix}read_text_file`, { path: `${plan.workspace}/note.txt` }));
      await note('files_refused', () => call(`${prefix}read_text_file`, { path: '/etc/passwd' }));
    },
    memory: async (prefix) => {
      const entity = { name: plan.label, entityType: 'client', observations: ['took the tour'] };
      await note('memory_create', () => call(`${prefix}create_entities`, { entities: [entity] }));
      await note('memory', () => call(`${prefix}search_nodes`, { query: plan.label }));
    },
    everything: async (prefix) => {
      await note('everything', () => call(`${prefix}echo`, { message: 'hello tour' }));
      await note('structured', () => call(`${prefix}get-structured-content`, { location: 'New York' }));
      await note('image', () => call(`${prefix}get-tiny-image`, {}));
      await note('links', () => call(`${prefix}get-resource-links`, { count: 2 }));
      await note('bad_arguments', () => call(`${prefix}get-sum`, { a: 'no number' }));
      await note('progress', async () => {
        const seen = [];
        const onprogress = (progress) => seen.push(progress.progress);
        const result = await call(`${prefix}trigger-long-running-operation`, LONG, { onprogress });
        return { ...result, seen };
      });
      await note('resources', () => names((params) => client.listResources(params), 'resources', 'uri'));
      await note('templates', () =>
        names((params) => client.listResourceTemplates(params), 'resourceTemplates', 'uriTemplate')
      );
      await note('read', () => client.readResource({ uri: 'demo://resource/dynamic/text/7' }));
      await note('read_unknown', () => client.readResource({ uri: 'demo://resource/nowhere' }));
      await note('prompts', () => names((params) => client.listPrompts(params), 'prompts', 'name'));
      await note('prompt', () => client.getPrompt({ name: `${prefix}args-prompt`, arguments: { city: 'Oslo' } }));
      await note('completion', () =>
        client.complete({
          ref: { type: 'ref/prompt', name: `${prefix}completable-prompt` },
          argument: { name: 'department', value: 'E' }
        })
      );
      if (plan.interactive) {
        await note('elicitation', () => call(`${prefix}trigger-elicitation-request`, {}));
        await note('sampling', () => call(`${prefix}trigger-sampling-request`, { prompt: 'tour?' }));
        await note('roots', () => call(`${prefix}get-roots-list`, {}));
      }
    },
    socket: async (prefix) => {
      await note('socket', () => call(`${prefix}echo`, { message: 'over a socket' }));
      if (plan.interactive) await note('socket_asks', () => call(`${prefix}greet`, {}));
    },
    fixture: async (prefix) => {
      await note('fixture', () => call(`${prefix}test_simple_text`, {}));
      await note('changes', () => changes(prefix));
      if (plan.interactive) {
        await note('fixture_asks', () => call(`${prefix}test_elicitation`, { message: 'Well?' }));
      }
    }
  };

  // Has lists and a resource changed while the client watches; tells what it heard and whether it then saw it.
  async function changes(prefix) {
    const list = () => names((params) => client.listTools(params, { cacheMode: 'refresh' }), 'tools', 'name');
    const before = await list();
    const unwatch = await watch(WATCHED);
    for (const trigger of ['test_touch_watched_resource', 'test_trigger_prompt_change', 'test_trigger_tool_change']) {
      await call(`${prefix}${trigger}`, {});
    }
    const giveUp = Date.now() + HEAR_TIMEOUT_MS;
    const complete = () => ['tools', 'prompts', WATCHED].every((what) => news.includes(what));
    while (!complete() && Date.now() < giveUp) await new Promise((resolve) => setTimeout(resolve, 20));
    const heard = [...new Set(news)].sort();
    const after = await list();
    await unwatch();
    const seen = [...before.filter((name) => !after.includes(name)), ...after.filter((name) => !before.includes(name))];
    return { heard, seen };
  }

  await note('about', about);
  await note('tools', () => names((params) => client.listTools(params), 'tools', 'name'));
  for (const [server, prefix] of Object.entries(plan.prefixes)) await steps[server](prefix);
  await note('unknown_tool', () => call('no_such_tool_anywhere', {}));
  await note('ping', async () => {
    if (facts.about.revision >= '2026') return true; // the modern era has no ping
    await client.ping();
    return true;
  });
  return facts;
}

export async function finish(client, facts) {
  await client.close();
  process.stdout.write(`${JSON.stringify(facts)}\n`, () => process.exit(0));
}
