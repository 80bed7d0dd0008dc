// Runs in a process of its own: imports one module and writes down every module and native add-on that loaded.
import { writeFileSync } from 'node:fs';
import { createRequire, register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';

const [entry, out] = process.argv.slice(2) as [string, string];

/** Module hooks run in a thread of their own, so they post what they see. Plain JavaScript: the thread has no tsx. */
const HOOKS = `
  let port;
  export function initialize(data) { port = data.port; }
  export async function load(url, context, nextLoad) {
    port.postMessage(url);
    return nextLoad(url, context);
  }`;

const { port1, port2 } = new MessageChannel();
const native: string[] = [];
const dlopen = process.dlopen.bind(process);
process.dlopen = (module: object, filename: string, ...rest: []) => {
  native.push(filename);
  return dlopen(module, filename, ...rest);
};
const required = createRequire(import.meta.url).cache;
const before = new Set(Object.keys(required));

register(`data:text/javascript,${encodeURIComponent(HOOKS)}`, { data: { port: port2 }, transferList: [port2] });
await import(entry);

const urls = new Set<string>();
for (let message = receiveMessageOnPort(port1); message !== undefined; message = receiveMessageOnPort(port1))
  urls.add(message.message as string);
for (const path of Object.keys(required)) if (!before.has(path)) urls.add(pathToFileURL(path).href);
writeFileSync(out, JSON.stringify({ urls: [...urls], native }));
port1.close();
