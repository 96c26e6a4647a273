// The original plan's own TypeScript under Cloudflare's local engine, as it stands in the paper that
// PEER_PLAN names. Its code blocks are read at run time and kept nowhere; what they leave to be
// written (responses, the binding of the Durable Object's state) is filled in below.
//
// node plan_worker.mjs FLYING WARM ISBN…   prints {"seconds", "cpu", "done"}; CPU is workerd's.
// Packages (miniflare, esbuild) are looked for in PEER_NODE_MODULES.

import { createRequire } from "node:module";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const packages = createRequire(join(process.env.PEER_NODE_MODULES, "x.js"));
const { build } = packages("esbuild");
const { Miniflare, Log, LogLevel, convertV4MiniflareOptions } = packages("miniflare");

const blocks = [...readFileSync(process.env.PEER_PLAN, "utf8").matchAll(/```typescript\n(.*?)```/gs)]
  .map((match) => match[1]);
const block = (start) => {
  const found = blocks.find((text) => text.includes(start));
  if (!found) throw new Error(`the paper has no block with ${start}`);
  return found;
};

const FILES = {
  "workflows/import-book.js": block("class BookImportWorkflow"),
  "handlers/workflow-trigger-handler.js": block("function triggerBookImportWorkflow"),
  "durable-objects/WebSocketConnectionDO.js":
    `import { DurableObject } from "base";\n${block("class WebSocketConnectionDO")}`,
  "utils/response-builder.js": `
    export const createSuccessResponse = (data) => Response.json({ success: true, data });
    export const createErrorResponse = (code, message, { statusCode }) =>
      Response.json({ success: false, error: { code, message } }, { status: statusCode });`,
  // The plan's class reads this.state, which nothing sets.
  base: `
    import * as cloudflare from "cloudflare:workers";
    export class DurableObject extends cloudflare.DurableObject {
      get state() { return this.ctx; }
    }`,
  entry: `
    import { WorkerEntrypoint } from "cloudflare:workers";
    import { triggerBookImportWorkflow } from "./handlers/workflow-trigger-handler.js";
    import { WebSocketConnectionDO as Planned } from "./durable-objects/WebSocketConnectionDO.js";
    export { BookImportWorkflow } from "./workflows/import-book.js";
    export class WebSocketConnectionDO extends Planned {
      #ended = Promise.withResolvers();
      async broadcastProgress(event) {
        await super.broadcastProgress(event);
        if (event.status === "completed") this.#ended.resolve();
      }
      async ended() { await this.#ended.promise; }
    }
    export class Embedder extends WorkerEntrypoint {
      run() { return { data: [new Array(1024).fill(0.03125)] }; }
    }
    export default {
      async fetch(request, env) {
        const answer = await (await triggerBookImportWorkflow(request, env)).json();
        const id = env.WEBSOCKET_DO.idFromName(answer.data.jobId);
        await env.WEBSOCKET_DO.get(id).ended();
        return Response.json(answer);
      },
    };`,
};

const planned = {
  name: "planned",
  setup(bundle) {
    bundle.onResolve({ filter: /.*/ }, ({ path }) =>
      path.startsWith("cloudflare:")
        ? { path, external: true }
        : { path: path.replace(/^\.{1,2}\//, ""), namespace: "planned" });
    bundle.onLoad({ filter: /.*/, namespace: "planned" }, ({ path }) => ({
      contents: FILES[path], loader: "ts",
    }));
  },
};

const google = JSON.stringify("https://www.googleapis.com/books/v1");
const { outputFiles } = await build({
  entryPoints: ["entry"], bundle: true, write: false, format: "esm", plugins: [planned],
  banner: {
    js: `const fetch = (url, options) => globalThis.fetch(
      String(url).replace(${google}, ${JSON.stringify(process.env.BOOKLINE_GOOGLE_BOOKS_URL)}), options);`,
  },
});

const miniflare = new Miniflare(convertV4MiniflareOptions({
  log: new Log(LogLevel.ERROR), port: 0, cf: false, telemetry: { enabled: false },
  resourcePersistencePath: process.env.PEER_FOLDER,
  name: "plan", modules: true, script: outputFiles[0].text, compatibilityDate: "2026-11-01",
  bindings: { GOOGLE_BOOKS_API_KEY: "sandbox" },
  r2Buckets: ["R2_BUCKET"], d1Databases: ["DB"], kvNamespaces: ["BOOK_CACHE"],
  durableObjects: { WEBSOCKET_DO: { className: "WebSocketConnectionDO", useSQLite: true } },
  workflows: { BOOK_IMPORT_WORKFLOW: { name: "book-import-workflow", className: "BookImportWorkflow" } },
  serviceBindings: { AI: { name: "plan", entrypoint: "Embedder" } },
}));

const url = await miniflare.ready;
const library = await miniflare.getD1Database("DB");
await library.exec("CREATE TABLE books (isbn TEXT PRIMARY KEY, title TEXT, author TEXT, " +
  "description TEXT, cover_r2_key TEXT, publication_date TEXT)");

const cpuSeconds = () => {
  let ticks = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [name, rest] = [fields.slice(fields.indexOf("(") + 1, fields.lastIndexOf(")")),
        fields.slice(fields.lastIndexOf(")") + 2).split(" ")];
      if (name === "workerd" && Number(rest[1]) === process.pid) ticks += Number(rest[11]) + Number(rest[12]);
    } catch { /* it has ended */ }
  }
  return ticks / 100; // CLK_TCK of Linux
};
const importOne = async (isbn) => {
  const answer = await fetch(url, {
    method: "POST", body: JSON.stringify({ isbn, source: "google_books" }),
  });
  if (!answer.ok) throw new Error(`${isbn}: ${answer.status} ${await answer.text()}`);
  await answer.arrayBuffer();
};

const [flying, warm, ...isbns] = process.argv.slice(2);
await importOne(warm);
const [began, used, queue] = [performance.now(), cpuSeconds(), [...isbns]];
await Promise.all(Array.from({ length: Number(flying) }, async () => {
  for (let isbn; (isbn = queue.shift());) await importOne(isbn);
}));
const seconds = (performance.now() - began) / 1000;
const cpu = cpuSeconds() - used;
const { n } = await library.prepare("SELECT count(*) AS n FROM books").first();
console.log(JSON.stringify({ seconds, cpu, done: n - 1 }));
await miniflare.dispose();
