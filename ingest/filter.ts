// MQTT filters with named segments, and key templates over the names: read and checked once, when a route is declared.
import { MillraceError } from '../engine/errors.ts';

/** One level of a filter: text that must be equal, one level of anything, or the rest of the topic. */
export type FilterLevel =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'one'; readonly name: string | undefined }
  | { readonly kind: 'rest' };

/** A key template in pieces: text, or the name of the level to put there. */
export type KeyPart = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'level'; readonly level: number };

/** Most levels a filter, and a topic, may have. Unit: levels. */
export const LEVELS_MAX = 32;

/** MQTT's own limit for a topic. Unit: UTF-8 bytes. */
const FILTER_BYTES_MAX = 65_535;

/** NUL and halves of surrogate pairs: MQTT forbids both. */
const UNPRINTABLE = /[\0\p{Surrogate}]/u;

/** A name of a segment: it is read back as `{name}` in the key template. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Reads an MQTT filter: `+name` is one level with a name, `+` one level without, `#` the rest and only last.
 *
 * Errors  E_CONFIG for what MQTT forbids, a name that is none, or a name used twice
 */
export function parseFilter(filter: string): readonly FilterLevel[] {
  const wrong = (why: string) => new MillraceError('E_CONFIG', `mqtt filter '${filter}': ${why}`);
  if (typeof filter !== 'string') throw new MillraceError('E_CONFIG', `mqtt filter must be a string, got ${typeof filter}`);
  if (filter === '') throw new MillraceError('E_CONFIG', "mqtt filter is empty; write one such as 'city/+zone/air/+device'");
  if (UNPRINTABLE.test(filter)) throw wrong('it holds a NUL or half of a character');
  if (Buffer.byteLength(filter) > FILTER_BYTES_MAX) throw wrong(`longer than ${FILTER_BYTES_MAX} bytes`);
  if (filter.startsWith('$SYS/')) throw wrong('$SYS/ is the broker’s own; devices may not publish there');
  if (filter.startsWith('$share/')) throw wrong('shared subscriptions belong to a bridge; the listener sees every publish as it is');
  const texts = filter.split('/');
  if (texts.length > LEVELS_MAX) throw wrong(`${texts.length} levels; at most ${LEVELS_MAX}`);
  const names = new Set<string>();
  return texts.map((text, i): FilterLevel => {
    if (text === '#') {
      if (i !== texts.length - 1) throw wrong("'#' stands for the rest of the topic, so it may only come last");
      return { kind: 'rest' };
    }
    if (text.includes('#')) throw wrong(`'#' must be a level of its own, not part of '${text}'`);
    if (!text.startsWith('+')) {
      if (text.includes('+')) throw wrong(`'+' must begin its level, as in '+name', not '${text}'`);
      return { kind: 'text', text };
    }
    const name = text.slice(1);
    if (name === '') return { kind: 'one', name: undefined };
    if (!NAME.test(name)) throw wrong(`'+${name}': a name is letters, digits and '_', not beginning with a digit`);
    if (names.has(name)) throw wrong(`the name '${name}' is used twice`);
    names.add(name);
    return { kind: 'one', name };
  });
}

/**
 * Reads a key template, `{zone}/{device}`, over the names of a filter.
 *
 * Errors  E_CONFIG for a brace that is not paired, an unknown name, or a template without any text or name
 */
export function parseKeyTemplate(key: string, levels: readonly FilterLevel[], filter: string): readonly KeyPart[] {
  const wrong = (why: string) => new MillraceError('E_CONFIG', `mqtt('${filter}'): key '${key}': ${why}`);
  if (typeof key !== 'string')
    throw new MillraceError('E_CONFIG', `mqtt('${filter}'): key must be a template such as '{device}', got ${typeof key}`);
  if (key === '') throw wrong("it is empty; name what tells one device from another, such as '{device}'");
  if (UNPRINTABLE.test(key)) throw wrong('it holds a NUL or half of a character');
  const named = new Map<string, number>();
  levels.forEach((level, i) => {
    if (level.kind === 'one' && level.name !== undefined) named.set(level.name, i);
  });
  const parts: KeyPart[] = [];
  for (const piece of key.split(/(\{[^{}]*\})/)) {
    if (piece === '') continue;
    if (!/^\{.*\}$/s.test(piece)) {
      if (/[{}]/.test(piece)) throw wrong("a '{' or '}' without its partner");
      parts.push({ kind: 'text', text: piece });
      continue;
    }
    const name = piece.slice(1, -1);
    const level = named.get(name);
    if (level === undefined) throw wrong(`no segment is named '${name}'; ${namesOf(named)}`);
    parts.push({ kind: 'level', level });
  }
  return parts;
}

function namesOf(named: ReadonlyMap<string, number>): string {
  if (named.size === 0) return "the filter names none: write '+device' instead of '+' to name a segment";
  return `the filter names ${[...named.keys()].map((name) => `'${name}'`).join(', ')}`;
}
