// Runs operations of @ai-sdk/alibaba: one JSON object a line in, one a line out.
// In:  {"operation", "root", "base", "compatible", "key"}; out: {"value"} or {"raised"}.
import { createAlibaba } from "@ai-sdk/alibaba";
import { embed, embedMany, experimental_generateVideo as generateVideo, generateText, streamText } from "ai";
import { createInterface } from "node:readline";

globalThis.AI_SDK_LOG_WARNINGS = false;

const once = { maxRetries: 0 };
const soon = { providerOptions: { alibaba: { pollIntervalMs: 1 } } };

const operations = {
  chat: async (on) => {
    const { text, usage, finishReason } = await generateText({ model: on("qwen-plus"), prompt: "hello", ...once });
    return { text, usage, finishReason };
  },
  stream: async (on) => {
    const parts = [];
    const result = streamText({ model: on("qwen-plus"), prompt: "hello", onError: () => {}, ...once });
    for await (const part of result.fullStream) if (part.type.startsWith("text") || part.type === "error") parts.push(part);
    return { parts, usage: await result.usage };
  },
  embedding: async (on) => {
    const { embedding, usage } = await embed({ model: on.embedding("text-embedding-v4"), value: "a", ...once });
    return { embedding, usage };
  },
  embeddings: async (on) => {
    const { embeddings } = await embedMany({ model: on.embedding("text-embedding-v4"), values: ["a", "b"], ...once });
    return embeddings;
  },
  video: (on) => video(on, { model: on.video("wan2.6-t2v"), prompt: "a cat", aspectRatio: "16:9", duration: 5 }),
  "video of an image": (on) =>
    video(on, { model: on.video("wan2.6-i2v"), prompt: { image: new Uint8Array([137, 80, 78, 71]), text: "go" } }),
  "video of wan3": (on) => video(on, { model: on.video("wan3.0-video"), prompt: "a cat", duration: 5 }),
  "video that fails": (on) => video(on, { model: on.video("wan2.6-t2v"), prompt: "sandbox:inspect" }),
};

async function video(on, what) {
  const { videos, warnings, providerMetadata } = await generateVideo({ ...what, ...soon, ...once });
  return { videos: videos.map(({ mediaType, uint8Array }) => ({ mediaType, size: uint8Array.length })), warnings, providerMetadata };
}

function told({ name, message, statusCode, responseBody, isRetryable, cause }) {
  return { name, message, statusCode, responseBody, isRetryable, cause: cause && told(cause) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, root, base, compatible, key } = JSON.parse(line);
  const on = createAlibaba({
    apiKey: key,
    baseURL: root + compatible,
    embeddingBaseURL: root + base,
    videoBaseURL: root + base.slice(0, -"/api/v1".length),
  });
  let answer;
  try {
    answer = { value: await operations[operation](on) };
  } catch (error) {
    answer = { raised: told(error) };
  }
  process.stdout.write(JSON.stringify(answer, (_, value) => (value instanceof Error ? told(value) : value)) + "\n");
}
