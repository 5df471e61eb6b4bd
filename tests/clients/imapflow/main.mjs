/* imapflow does what mail programs do; what it saw goes out as JSON. */
import { createRequire } from "node:module";

const require = createRequire(process.env.IMAPFLOW + "/");
const { ImapFlow } = require("imapflow");
const [port, user, pass] = process.argv.slice(2);
const client = new ImapFlow({
  host: "localhost", port: Number(port), secure: true,
  auth: { user, pass }, logger: false,
});
const seen = { fetched: [], flags: [] };

await client.connect();
seen.boxes = (await client.list()).map((box) => box.path);
const lock = await client.getMailboxLock("INBOX");
try {
  seen.exists = client.mailbox.exists;
  for await (const one of client.fetch("1:*", {
    uid: true, envelope: true, bodyStructure: true, source: true,
  }))
    seen.fetched.push([one.envelope.subject, one.bodyStructure.type,
      one.source.toString().split("\r\n\r\n")[1]]);
  seen.uids = await client.search({ subject: "Two" }, { uid: true });
  await client.messageFlagsAdd(seen.uids, ["\\Seen", "$Junk"], { uid: true });
  for await (const one of client.fetch(seen.uids, { flags: true },
    { uid: true }))
    seen.flags = [...one.flags].sort();
  await client.mailboxCreate("INBOX.Kept");
  seen.moved = (await client.messageMove(seen.uids, "INBOX.Kept",
    { uid: true })).uidMap.size;
  seen.appended = await client.append("INBOX",
    "Subject: Three\r\n\r\nthree\r\n", ["\\Flagged"]);
  seen.deleted = await client.messageDelete({ subject: "One" });
  const { content } = await client.download("*", "1");
  seen.text = "";
  for await (const chunk of content)
    seen.text += chunk;
  seen.status = await client.status("INBOX.Kept", { messages: true });
} finally {
  lock.release();
}
await client.logout();
console.log(JSON.stringify(seen, (name, value) =>
  typeof value === "bigint" ? Number(value) : value));
