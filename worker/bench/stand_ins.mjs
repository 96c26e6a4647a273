// What stands in for Workers AI and Vectorize, which run on Cloudflare's machines only.

import { WorkerEntrypoint } from "cloudflare:workers";

const DIMENSIONS = 1024;

/** A vector in which texts with the same words lie near each other. */
function vectorOf(text) {
  const vector = new Array(DIMENSIONS).fill(0);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
    let place = 17;
    for (const letter of word) place = (place * 31 + letter.codePointAt(0)) % DIMENSIONS;
    vector[place] += 1;
  }
  const length = Math.hypot(...vector) || 1;
  return vector.map((number) => number / length);
}

export class AI extends WorkerEntrypoint {
  async run(model, { text }) {
    return { shape: [text.length, DIMENSIONS], data: text.map(vectorOf), pooling: "cls" };
  }
}

const kept = new Map();

export class Vectors extends WorkerEntrypoint {
  async upsert(vectors) {
    for (const one of vectors) kept.set(one.id, one);
    return { mutationId: crypto.randomUUID() };
  }

  async query(vector, { topK = 5 } = {}) {
    const dot = (other) => other.reduce((sum, number, place) => sum + number * vector[place], 0);
    const matches = [...kept.values()].map(({ id, values, metadata }) => ({ id, score: dot(values), metadata }));
    matches.sort((one, other) => other.score - one.score);
    return { count: Math.min(topK, matches.length), matches: matches.slice(0, topK) };
  }

  async deleteByIds(ids) {
    for (const id of ids) kept.delete(id);
    return { mutationId: crypto.randomUUID() };
  }
}

export default { fetch: () => new Response("the bench's stand-ins", { status: 404 }) };
