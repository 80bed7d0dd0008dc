// play.json: how the rows of a CSV file become publishes, without code.
import type { Zone } from 'luxon';
import { MillraceError, messageOf } from '../engine/errors.ts';
import { atMsOf, playZone } from './playTime.ts';

/** A mapping that has been read and checked. */
export interface PlayMapping {
  /** The CSV file, relative to the mapping. */
  readonly file: string;
  /** Where each column stands. Errors: E_PLAY when the mapping names a column that is not there. */
  columns(head: readonly string[], path: string): ReadonlyMap<string, number>;
  /** A row as a publish; undefined when nothing was measured in it. Errors: E_PLAY */
  row(cells: readonly string[], columns: ReadonlyMap<string, number>, where: string): MappedRow | undefined;
}

/** A row of the file as a publish. */
export interface MappedRow {
  readonly client: string;
  readonly topic: string;
  readonly payload: Buffer;
  readonly atMs: number | undefined;
}

interface Fields {
  readonly file: string;
  readonly topic: string;
  readonly client: string;
  readonly at: { readonly column: string; readonly zone: Zone | undefined } | undefined;
  /** Payload field → column, or AT for the row's time. */
  readonly payload: ReadonlyMap<string, string>;
  readonly missing: ReadonlySet<string>;
}

/** In `payload`: the row's time as ISO 8601 in UTC, instead of a column. */
const AT = '$at';
const NAMES = ['file', 'topic', 'client', 'at', 'payload', 'missing'];
/** A cell that reads as a JSON number becomes one; codes such as 007 stay text. */
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/**
 * Reads a mapping.
 *
 * Errors  E_PLAY for text that is not JSON, an unknown or missing field, a template without its pair of braces
 */
export function parsePlayMapping(text: string, path: string): PlayMapping {
  const fields = readFields(text, path);
  return Object.freeze({
    file: fields.file,
    columns: (head: readonly string[], csvPath: string) => {
      const columns = new Map(head.map((name, i) => [name, i]));
      if (columns.size !== head.length) throw new MillraceError('E_PLAY', `${csvPath}:1: two columns have the same name`);
      for (const name of columnsNamed(fields))
        if (!columns.has(name))
          throw new MillraceError('E_PLAY', `${path}: no column '${name}' in ${csvPath}; it has ${head.map((h) => `'${h}'`).join(', ')}`);
      return columns;
    },
    row: (cells: readonly string[], columns: ReadonlyMap<string, number>, where: string) => rowOf(fields, cells, columns, where),
  });
}

function readFields(text: string, path: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new MillraceError('E_PLAY', `${path}: not JSON: ${messageOf(error)}`);
  }
  const wrong = (why: string) => new MillraceError('E_PLAY', `${path}: ${why}`);
  if (!isObject(value)) throw wrong('a mapping is an object; see docs/play.md');
  for (const name of Object.keys(value)) if (!NAMES.includes(name)) throw wrong(`unknown field '${name}'; there are ${NAMES.join(', ')}`);
  const { file, topic, at, payload, missing = [''] } = value;
  const client = value['client'] ?? topic;
  for (const [name, given] of Object.entries({ file, topic, client }))
    if (typeof given !== 'string' || given === '') throw wrong(`'${name}' must be a text that is not empty`);
  if (!isObject(payload) || Object.keys(payload).length === 0) throw wrong(`'payload' must be an object: field → column, or '${AT}'`);
  for (const [field, column] of Object.entries(payload))
    if (typeof column !== 'string') throw wrong(`payload field '${field}' must name a column, or be '${AT}'`);
  if (!Array.isArray(missing) || missing.some((m) => typeof m !== 'string'))
    throw wrong('\'missing\' must be a list of texts, such as ["", "NA"]');
  const time = readAt(at, path);
  if (time === undefined && Object.values(payload).includes(AT)) throw wrong(`the payload wants '${AT}', but there is no 'at'`);
  return {
    file: file as string,
    topic: checkedTemplate(topic as string, path),
    client: checkedTemplate(client as string, path),
    at: time,
    payload: new Map(Object.entries(payload as Record<string, string>)),
    missing: new Set(missing as string[]),
  };
}

function readAt(at: unknown, path: string): Fields['at'] {
  if (at === undefined) return undefined;
  if (typeof at === 'string') return { column: at, zone: undefined };
  if (!isObject(at) || typeof at['column'] !== 'string' || Object.keys(at).some((name) => name !== 'column' && name !== 'zone'))
    throw new MillraceError('E_PLAY', `${path}: 'at' must be a column's name or {"column": …, "zone": …}`);
  return { column: at['column'], zone: at['zone'] === undefined ? undefined : playZone(at['zone'], `${path}: at`) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkedTemplate(template: string, path: string): string {
  if (/[{}]/.test(template.replace(/\{[^{}]+\}/g, '')))
    throw new MillraceError('E_PLAY', `${path}: '${template}' has a '{' or '}' without its partner`);
  return template;
}

function columnsNamed({ topic, client, at, payload }: Fields): Set<string> {
  const inTemplates = [...`${topic}${client}`.matchAll(/\{([^{}]+)\}/g)].map((m) => m[1] as string);
  const inPayload = [...payload.values()].filter((column) => column !== AT);
  return new Set([...inTemplates, ...inPayload, ...(at === undefined ? [] : [at.column])]);
}

function rowOf(fields: Fields, cells: readonly string[], columns: ReadonlyMap<string, number>, where: string): MappedRow | undefined {
  const cell = (name: string): string => cells[columns.get(name) as number] ?? '';
  const fill = (template: string) =>
    template.replace(/\{([^{}]+)\}/g, (_, name: string) => {
      if (fields.missing.has(cell(name)))
        throw new MillraceError('E_PLAY', `${where}: '${template}' needs column '${name}', which is missing here`);
      return cell(name);
    });
  const atMs = fields.at === undefined ? undefined : atMsOf(cell(fields.at.column), fields.at.zone, where);
  const payload: [string, unknown][] = [];
  let measured = false;
  for (const [field, column] of fields.payload) {
    if (column === AT) payload.push([field, new Date(atMs as number).toISOString()]);
    else if (!fields.missing.has(cell(column))) {
      payload.push([field, valueOf(cell(column))]);
      measured = true;
    }
  }
  if (!measured) return undefined;
  // fromEntries defines even a field named __proto__ as a field of its own.
  return {
    client: fill(fields.client),
    topic: fill(fields.topic),
    payload: Buffer.from(JSON.stringify(Object.fromEntries(payload)), 'utf8'),
    atMs,
  };
}

function valueOf(cell: string): unknown {
  if (cell === 'true') return true;
  if (cell === 'false') return false;
  return NUMBER.test(cell) && Number.isFinite(Number(cell)) ? Number(cell) : cell;
}
