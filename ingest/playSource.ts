// A file as the player sees it: what to publish, in which order, when. Read twice: once to check it, once to play it.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { createGunzip } from 'node:zlib';
import { type Parser, parse } from 'csv-parse';
import { MillraceError, messageOf } from '../engine/errors.ts';
import { type PlayMapping, parsePlayMapping } from './playMapping.ts';
import { atMsOf } from './playTime.ts';

/** One publish. */
export interface PlayRecord {
  /** Its place among the file's publishes, from 0. */
  readonly index: number;
  /** Where it stands in the file, from 1. */
  readonly line: number;
  /** Publishes of one client go over one connection, in order. */
  readonly client: string;
  readonly topic: string;
  readonly payload: Buffer;
  /** When the device said it; undefined: right after the one before. Unit: epoch ms. */
  readonly atMs: number | undefined;
}

/** A checked file, ready to be played from any place. */
export interface PlaySource {
  /** For people: what was asked for. */
  readonly name: string;
  /** The file that is read. */
  readonly path: string;
  /** SHA-256 over the file and its mapping: the same content is the same play. */
  readonly hash: string;
  /** Publishes in the file. */
  readonly count: number;
  /** Rows of a CSV file in which nothing was measured: the device published nothing. */
  readonly silentRows: number;
  /** The publishes from `index` on, in file order. Errors: E_PLAY when the file changed since it was checked. */
  records(index: number): AsyncGenerator<PlayRecord, void, undefined>;
}

/** Where to look for files. */
export interface LoadPlayOptions {
  /** Where names and relative paths begin. */
  readonly cwd: string;
  /** Folder that holds our own `pipelines/`. Default: this package. */
  readonly packageDir?: string;
}

/** Longest publish read from a file, as the listener's own limit. Unit: bytes. */
const PAYLOAD_BYTES_MAX = 900_000;

/**
 * Finds a file to play, checks every line of it, and counts. NAME is `pipelines/NAME/play.json` in the folder or in the
 * package; FILE is .ndjson (or .jsonl), a .json mapping, or .csv with its mapping beside it as `<name>.play.json`.
 * A name that ends in .gz is unpacked as it is read.
 *
 * Errors  E_PLAY: no such name or file, or a line that cannot be played: the message names it
 * @example const source = await loadPlaySource('smart-city', { cwd: process.cwd() })
 */
export async function loadPlaySource(nameOrFile: string, options: LoadPlayOptions): Promise<PlaySource> {
  const found = findFile(nameOrFile, options);
  const hash = createHash('sha256');
  let mapping: PlayMapping | undefined;
  let path = found;
  const mappingPath = mappingOf(found);
  if (mappingPath !== undefined) {
    const text = readFileSync(mappingPath);
    hash.update(text).update('\0');
    mapping = parsePlayMapping(text.toString('utf8'), mappingPath);
    path = kindOf(found) === '.csv' ? found : resolve(dirname(mappingPath), mapping.file);
    if (!isFile(path)) throw new MillraceError('E_PLAY', `${mappingPath}: file '${mapping.file}' does not exist`);
  }
  const rows = mapping === undefined ? ndjsonRows : (bytes: Readable) => csvRows(bytes, path, mapping as PlayMapping);
  let count = 0;
  let silentRows = 0;
  for await (const row of rows(
    open(path, (chunk) => hash.update(chunk)),
    path,
  )) {
    if (row === undefined) silentRows++;
    else count++;
  }
  const digest = hash.digest('hex');
  return Object.freeze({
    name: nameOrFile,
    path,
    hash: digest,
    count,
    silentRows,
    records: async function* (from: number) {
      let index = 0;
      for await (const row of rows(open(path), path)) {
        if (row === undefined) continue;
        if (index >= from) yield { index, ...row };
        index++;
      }
      if (index !== count) throw new MillraceError('E_PLAY', `${path}: it had ${count} records when the play began and has ${index} now`);
    },
  });
}

type Row = Omit<PlayRecord, 'index'>;

/** A name of ours, or a path. */
function findFile(nameOrFile: string, { cwd, packageDir = ownPackage() }: LoadPlayOptions): string {
  if (/^[a-z0-9][a-z0-9-]*$/i.test(nameOrFile)) {
    for (const folder of [cwd, packageDir]) {
      const path = join(folder, 'pipelines', nameOrFile, 'play.json');
      if (isFile(path)) return path;
    }
  }
  const path = resolve(cwd, nameOrFile);
  if (isFile(path)) return path;
  throw new MillraceError(
    'E_PLAY',
    `play '${nameOrFile}': there is no pipelines/${nameOrFile}/play.json in ${cwd} or in millrace, and no file ${path}`,
  );
}

/** The folder with our package.json, also when this file runs out of dist/. */
function ownPackage(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** The extension, with `.gz` looked through. */
function kindOf(path: string): string {
  return extname(path.endsWith('.gz') ? path.slice(0, -3) : path).toLowerCase();
}

/** The mapping a file needs; undefined for a file that needs none. */
function mappingOf(path: string): string | undefined {
  const kind = kindOf(path);
  if (kind === '.ndjson' || kind === '.jsonl') return undefined;
  if (kind === '.json') return path;
  if (kind !== '.csv')
    throw new MillraceError('E_PLAY', `${path}: a file to play ends in .ndjson, .jsonl, .csv or .json (a mapping), with or without .gz`);
  const beside = join(dirname(path), `${basename(path).replace(/\.csv(\.gz)?$/i, '')}.play.json`);
  if (isFile(beside)) return beside;
  throw new MillraceError(
    'E_PLAY',
    `${path}: a CSV file needs a mapping that says what its columns mean: write ${beside} (docs/play.md), or play a mapping`,
  );
}

function open(path: string, see?: (chunk: Buffer) => void): Readable {
  const raw = createReadStream(path);
  if (see !== undefined) raw.on('data', (chunk) => see(chunk as Buffer));
  if (!path.endsWith('.gz')) return raw;
  const unpacked = createGunzip();
  raw.on('error', (error) => unpacked.destroy(error));
  return raw.pipe(unpacked);
}

const LINE_FIELDS = ['topic', 'payload', 'at', 'client'];

/** One JSON object a line: {"topic", "payload", "at"?, "client"?}. Empty lines are skipped. */
async function* ndjsonRows(bytes: Readable, path: string): AsyncGenerator<Row | undefined, void, undefined> {
  let line = 0;
  const lines = createInterface({ input: bytes, crlfDelay: Number.POSITIVE_INFINITY });
  // readline does not pass its input's errors on: without this the loop would wait for ever.
  const failed = new Promise<never>((_, reject) => bytes.once('error', reject));
  failed.catch(() => undefined);
  const each = lines[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([each.next(), failed]);
      if (next.done === true) return;
      line++;
      if (next.value.trim() !== '') yield ndjsonRow(next.value, `${path}:${line}`, line);
    }
  } catch (error) {
    throw asPlay(error, path);
  } finally {
    lines.close();
    bytes.destroy();
  }
}

function ndjsonRow(text: string, where: string, line: number): Row {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new MillraceError('E_PLAY', `${where}: not JSON: ${messageOf(error)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new MillraceError(
      'E_PLAY',
      `${where}: a line is an object such as {"topic":"a/b","payload":{"n":1},"at":"2026-01-01T00:00:00Z"}`,
    );
  const fields = value as Record<string, unknown>;
  for (const name of Object.keys(fields))
    if (!LINE_FIELDS.includes(name))
      throw new MillraceError('E_PLAY', `${where}: unknown field '${name}'; there are ${LINE_FIELDS.join(', ')}`);
  if (!Object.hasOwn(fields, 'payload')) throw new MillraceError('E_PLAY', `${where}: no payload; give any JSON value`);
  const topic = checkedTopic(fields['topic'], where);
  const client = fields['client'] ?? topic;
  if (typeof client !== 'string' || client === '') throw new MillraceError('E_PLAY', `${where}: client must be a text that is not empty`);
  const payload = checkedPayload(Buffer.from(JSON.stringify(fields['payload']), 'utf8'), where);
  return { line, client, topic, payload, atMs: fields['at'] === undefined ? undefined : atMsOf(fields['at'], undefined, where) };
}

/** One publish a row, or undefined where nothing was measured. */
async function* csvRows(bytes: Readable, path: string, mapping: PlayMapping): AsyncGenerator<Row | undefined, void, undefined> {
  const parser: Parser = parse({
    bom: true,
    info: true,
    skip_empty_lines: true,
    relax_column_count: false,
    max_record_size: PAYLOAD_BYTES_MAX,
  });
  bytes.once('error', (error) => parser.destroy(error));
  bytes.pipe(parser);
  let columns: ReadonlyMap<string, number> | undefined;
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      if (columns === undefined) columns = mapping.columns(record, path);
      else {
        const where = `${path}:${info.lines}`;
        const row = mapping.row(record, columns, where);
        yield row === undefined
          ? undefined
          : { ...row, line: info.lines, topic: checkedTopic(row.topic, where), payload: checkedPayload(row.payload, where) };
      }
    }
    if (columns === undefined) throw new MillraceError('E_PLAY', `${path}: the file is empty; the first line names the columns`);
  } catch (error) {
    throw asPlay(error, path);
  } finally {
    parser.destroy();
    bytes.destroy();
  }
}

function checkedTopic(topic: unknown, where: string): string {
  if (typeof topic !== 'string' || topic === '') throw new MillraceError('E_PLAY', `${where}: topic must be a text that is not empty`);
  if (/[+#\0\p{Cs}]/u.test(topic) || Buffer.byteLength(topic) > 65_535)
    throw new MillraceError(
      'E_PLAY',
      `${where}: '${topic.slice(0, 100)}' is no topic to publish to: without '+', '#' and NUL, at most 65,535 bytes`,
    );
  return topic;
}

function checkedPayload(payload: Buffer, where: string): Buffer {
  if (payload.length > PAYLOAD_BYTES_MAX)
    throw new MillraceError('E_PLAY', `${where}: the payload has ${payload.length} bytes; at most ${PAYLOAD_BYTES_MAX}`);
  return payload;
}

/** What reading or parsing threw, as E_PLAY. csv-parse names the line itself. */
function asPlay(error: unknown, path: string): MillraceError {
  return error instanceof MillraceError ? error : new MillraceError('E_PLAY', `${path}: ${messageOf(error)}`, { cause: error });
}
