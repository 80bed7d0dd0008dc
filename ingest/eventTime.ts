// When a reading happened, as a route's eventTime callback says it.
import { MillraceError } from '../engine/errors.ts';

/** Latest time a JavaScript Date can hold. Unit: epoch ms. */
const MS_MAX = 8.64e15;

/** ISO 8601 as devices write it; a time of day needs a zone, or its meaning would hang on where we run. */
const ISO = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|z|[+-]\d\d(?::?\d\d)?)?)?$/;

/**
 * The event time as whole epoch milliseconds, from epoch ms, a Date or an ISO 8601 text with a zone.
 *
 * Errors  E_EVENT_TIME for anything else, and for a time before 1970
 */
export function eventTimeMs(said: unknown): number {
  const ms =
    typeof said === 'number'
      ? Math.floor(said)
      : typeof said === 'string'
        ? isoMs(said)
        : said instanceof Date
          ? said.getTime()
          : undefined;
  if (ms === undefined) throw wrong(said, 'is no time; give epoch ms, a Date or an ISO 8601 text');
  if (!(ms <= MS_MAX)) throw wrong(said, 'is no time');
  if (ms < 0) throw wrong(said, 'lies before 1970');
  return ms;
}

function isoMs(text: string): number {
  const parts = ISO.exec(text);
  if (parts === null) throw wrong(text, 'is not ISO 8601, such as 2026-11-23T09:30:00Z');
  const [, year, month, day, hour, minute, second, fraction, zone] = parts as unknown as [string, ...(string | undefined)[]];
  if (hour !== undefined && zone === undefined) throw wrong(text, "has no zone; add 'Z' or '+01:00'");
  const [y, mo, d, h, mi, s] = [year, month, day, hour, minute, second].map((n) => Number(n ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const ms = fraction === undefined ? 0 : Math.floor(Number(`0.${fraction}`) * 1_000);
  const isReal = mo >= 1 && mo <= 12 && d >= 1 && d <= daysIn(y, mo) && h < 24 && mi < 60 && s <= 60;
  if (!isReal) throw wrong(text, 'names a day or hour that does not exist');
  if (y < 1969) throw wrong(text, 'lies before 1970');
  return Date.UTC(y, mo - 1, d, h, mi, s, ms) - zoneMs(zone, text);
}

function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}

function zoneMs(zone: string | undefined, text: string): number {
  if (zone === undefined || zone === 'Z' || zone === 'z') return 0;
  const digits = zone.slice(1).replace(':', '').padEnd(4, '0');
  const [hours, minutes] = [Number(digits.slice(0, 2)), Number(digits.slice(2))];
  if (hours > 23 || minutes > 59) throw wrong(text, `has a zone that does not exist, '${zone}'`);
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

function wrong(said: unknown, why: string): MillraceError {
  const shown =
    typeof said === 'string' ? `'${said.slice(0, 60)}'` : said instanceof Date ? 'an invalid Date' : said === null ? 'null' : typeof said;
  return new MillraceError('E_EVENT_TIME', `eventTime: ${typeof said === 'number' ? String(said) : shown} ${why}`);
}
