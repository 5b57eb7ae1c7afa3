// node measure.mjs ENDPOINT BATCHES
//
// Gives the handler the batches of a file, a JSON array of Kinesis events, one after another, with a
// table at ENDPOINT. Prints the events, and the milliseconds of time and of this process's CPU.

import { readFileSync } from "node:fs";

import { DynamoDBClient } from "@aws-sdk/client-dynamodb";

import { handler } from "./processor.mjs";

const [endpoint, file] = process.argv.slice(2);
const batches = JSON.parse(readFileSync(file, "utf8"));
const client = new DynamoDBClient({
  endpoint,
  region: "ap-south-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
});
const processBatch = handler(client, "complical-analytics-test");

// Compiled and connected, as an instance that has served before.
await processBatch(batches[0]);

const began = performance.now();
const used = process.cpuUsage();
let events = 0;
for (const batch of batches) {
  await processBatch(batch);
  events += batch.Records.length;
}
const { user, system } = process.cpuUsage(used);
const milliseconds = performance.now() - began;
client.destroy();
console.log(JSON.stringify({ events, milliseconds, cpuMilliseconds: (user + system) / 1000 }));
