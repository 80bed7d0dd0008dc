// When a line of a played file happened: epoch ms, or text with or without a zone.
import { DateTime, IANAZone, FixedOffsetZone, type Zone } from 'luxon';
import { MillraceError } from '../engine/errors.ts';

/** Latest time a record may carry, the year 9999. Unit: epoch ms. */
const AT_MS_MAX = 253_402_300_799_999;

/**
 * A zone as a mapping names it: `UTC`, `+08:00` or an IANA name such as `Asia/Shanghai`.
 *
 * Errors  E_PLAY
 */
export function playZone(text: unknown, where: string): Zone {
  if (typeof text === 'string') {
    if (/^(utc|z)$/i.test(text)) return FixedOffsetZone.utcInstance;
    const offset = /^([+-])(\d{2}):(\d{2})$/.exec(text);
    if (offset !== null) {
      const minutes = Number(offset[2]) * 60 + Number(offset[3]);
      if (minutes <= 14 * 60 && Number(offset[3]) < 60) return FixedOffsetZone.instance(offset[1] === '-' ? -minutes : minutes);
    } else if (IANAZone.isValidZone(text)) return IANAZone.create(text);
  }
  throw new MillraceError('E_PLAY', `${where}: zone '${String(text)}' is none; write 'UTC', '+08:00' or a name such as 'Asia/Shanghai'`);
}

/**
 * The instant, in epoch ms. A number is epoch ms; a text is ISO 8601, with `T` or a blank in the middle.
 *
 * Errors  E_PLAY, also for a local time when no zone is known
 */
export function atMsOf(value: unknown, zone: Zone | undefined, where: string): number {
  const ms = typeof value === 'number' ? value : typeof value === 'string' ? textMs(value.trim(), zone, where) : Number.NaN;
  if (!Number.isFinite(ms) || ms < 0 || ms > AT_MS_MAX)
    throw new MillraceError(
      'E_PLAY',
      `${where}: '${String(value)}' is no time; write ISO 8601 such as 2026-01-01T00:00:00Z, or epoch ms from 0 on`,
    );
  return Math.trunc(ms);
}

function textMs(text: string, zone: Zone | undefined, where: string): number {
  if (/^\d{11,}$/.test(text)) return Number(text);
  const iso = text.replace(/^(\d{4}-\d{2}-\d{2}) +/, '$1T');
  if (zone === undefined && !/(z|[+-]\d{2}(:?\d{2})?)$/i.test(iso.slice(10)))
    throw new MillraceError(
      'E_PLAY',
      `${where}: '${text}' has no zone; end it with Z or an offset such as +08:00, or let the mapping name the zone`,
    );
  const at = DateTime.fromISO(iso, { zone: zone ?? 'utc' });
  return at.isValid ? at.toMillis() : Number.NaN;
}
