// Asks an Unmask service and prints the text as its blocks are finished: node generate.js HOST:PORT PROMPT
"use strict";
const path = require("path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const protos = path.join(__dirname, "../../proto");
const definition = loader.loadSync("unmask/v1/inference.proto", {includeDirs: [protos], keepCase: true, longs: String, enums: String});
const {unmask} = grpc.loadPackageDefinition(definition);

// Waits while nobody is there, asks again when refused for the moment. A stream that has begun is never repeated.
const serviceConfig = JSON.stringify({methodConfig: [{
  name: [{service: "unmask.v1.InferenceService"}],
  waitForReady: true,
  retryPolicy: {maxAttempts: 5, initialBackoff: "1s", maxBackoff: "30s", backoffMultiplier: 3,
                retryableStatusCodes: ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]}}]});

const [server, prompt] = process.argv.slice(2);
if (!prompt) {
  console.error("usage: node generate.js HOST:PORT PROMPT");
  process.exit(64);
}
const service = new unmask.v1.InferenceService(server, grpc.credentials.createInsecure(), {"grpc.service_config": serviceConfig});
const request = {
  chat: {messages: [{role: "user", content: prompt}]},
  options: {gen_length: 64, block_length: 32, remasking: "REMASKING_CONFIDENCE_THRESHOLD", threshold: 0.9, seed: 7},
};
const stream = service.GenerateStream(request, {deadline: Date.now() + 300000});
stream.on("data", ({block, completed}) => {
  if (block) process.stdout.write(block.text_delta);
  if (completed) {
    const {usage, exactness, options} = completed;
    console.log(`\n\n${usage.steps} steps, exact: ${exactness.exact}, seed ${options.seed}`);
  }
});
stream.on("error", (error) => {
  console.error(`${grpc.status[error.code]}: ${error.details}`);
  process.exitCode = 1;
});
stream.on("end", () => service.close());
