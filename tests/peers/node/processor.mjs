// A stream processor as it is usually written: sums per batch, one `ADD` for each sum, and the raw
// events in batches. It counts a redelivered batch twice.

import { BatchWriteCommand, DynamoDBDocumentClient, UpdateCommand } from "@aws-sdk/lib-dynamodb";

const DAY_SECONDS = 86_400;
const RAW_DAYS = 90;
const SUM_DAYS = 7;
/** The most items of a `BatchWriteItem`. */
const BATCH = 25;

const COUNTERS = {
  API_CALL: "totalCalls",
  API_AUTH_FAILED: "authFailures",
  API_RATE_LIMITED: "rateLimited",
};

const decode = ({ kinesis }) => JSON.parse(Buffer.from(kinesis.data, "base64").toString("utf8"));

/** The sums of a batch, by key. */
const sums = (events) => {
  const all = new Map();
  const add = (pk, sk, event, days) => {
    const key = `${pk}|${sk}`;
    const sum = all.get(key) ?? { key: { PK: pk, SK: sk }, days, counts: {}, last: event.time };
    const counter = COUNTERS[event.type];
    sum.counts[counter] = (sum.counts[counter] ?? 0) + 1;
    if (event.time > sum.last) sum.last = event.time;
    all.set(key, sum);
  };
  for (const event of events) {
    add(`USER#${event.subject}`, "STATS", event);
    add(`MINUTE#${event.time.slice(0, 16)}`, "STATS", event, SUM_DAYS);
    add(`HOUR#${event.time.slice(0, 13)}`, `USER#${event.subject}`, event, SUM_DAYS);
  }
  return [...all.values()];
};

const update = (table, { key, counts, last, days }, now) => {
  const names = Object.keys(counts);
  const expires = days && now + days * DAY_SECONDS;
  return new UpdateCommand({
    TableName: table,
    Key: key,
    UpdateExpression: `ADD ${names.map((name) => `#${name} :${name}`).join(", ")} SET #last = :last${
      expires ? ", #ttl = :ttl" : ""
    }`,
    ExpressionAttributeNames: {
      "#last": "lastSeen",
      ...(expires && { "#ttl": "ttl" }),
      ...Object.fromEntries(names.map((name) => [`#${name}`, name])),
    },
    ExpressionAttributeValues: {
      ":last": last,
      ...(expires && { ":ttl": expires }),
      ...Object.fromEntries(names.map((name) => [`:${name}`, counts[name]])),
    },
  });
};

const rawEvents = (table, events, now) => {
  const puts = events.map((event) => ({
    PutRequest: {
      Item: { PK: `EVENT#${event.id}`, SK: event.time, ...event, ttl: now + RAW_DAYS * DAY_SECONDS },
    },
  }));
  const commands = [];
  for (let from = 0; from < puts.length; from += BATCH) {
    const slice = puts.slice(from, from + BATCH);
    commands.push(new BatchWriteCommand({ RequestItems: { [table]: slice } }));
  }
  return commands;
};

/** The handler of a Lambda function behind a stream. */
export const handler = (client, table) => {
  const documents = DynamoDBDocumentClient.from(client);
  return async ({ Records }) => {
    const events = Records.map(decode);
    const now = Math.floor(Date.now() / 1000);
    const commands = [
      ...sums(events).map((sum) => update(table, sum, now)),
      ...rawEvents(table, events, now),
    ];
    await Promise.all(commands.map((command) => documents.send(command)));
    return { batchItemFailures: [] };
  };
};
