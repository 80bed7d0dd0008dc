// What counts as a time, and what does not.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventTimeMs } from '../../ingest/eventTime.ts';

describe('eventTimeMs', () => {
  it.each<[unknown, number]>([
    [0, 0],
    [1_700_000_000_000, 1_700_000_000_000],
    [1_700_000_000_000.9, 1_700_000_000_000],
    [new Date(5), 5],
    ['1970-01-01', 0],
    ['2026-11-23', Date.UTC(2026, 10, 23)],
    ['2026-11-23T09:30:00Z', Date.UTC(2026, 10, 23, 9, 30)],
    ['2026-11-23T09:30Z', Date.UTC(2026, 10, 23, 9, 30)],
    ['2026-11-23 09:30:00.5z', Date.UTC(2026, 10, 23, 9, 30, 0, 500)],
    ['2026-11-23T09:30:00,123456789+01:30', Date.UTC(2026, 10, 23, 8, 0, 0, 123)],
    ['2026-11-23T09:30:00-0800', Date.UTC(2026, 10, 23, 17, 30)],
    ['2026-11-23T09:30:00+08', Date.UTC(2026, 10, 23, 1, 30)],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
    ['2016-12-31T23:59:60Z', Date.UTC(2017, 0, 1)],
  ])('reads %s', (said, ms) => {
    expect(eventTimeMs(said)).toBe(ms);
  });

  it.each<[unknown, string]>([
    [undefined, 'eventTime: undefined is no time'],
    [null, 'eventTime: null is no time'],
    [true, 'eventTime: boolean is no time'],
    [5n, 'eventTime: bigint is no time'],
    [{}, 'eventTime: object is no time'],
    [Number.NaN, 'eventTime: NaN is no time'],
    [Infinity, 'eventTime: Infinity is no time'],
    [1e300, 'is no time'],
    [-1, 'eventTime: -1 lies before 1970'],
    [-0.5, 'eventTime: -0.5 lies before 1970'],
    [new Date(Number.NaN), 'an invalid Date is no time'],
    [new Date(-1), 'lies before 1970'],
    ['', 'is not ISO 8601'],
    ['yesterday', "'yesterday' is not ISO 8601"],
    ['1700000000000', 'is not ISO 8601'],
    ['2026-11-23T09:30:00', 'has no zone'],
    ['2026-11-23T', 'is not ISO 8601'],
    ['2026-02-30T00:00:00Z', 'does not exist'],
    ['2023-02-29', 'does not exist'],
    ['2026-13-01', 'does not exist'],
    ['2026-00-01', 'does not exist'],
    ['2026-01-00', 'does not exist'],
    ['2026-01-01T24:00:00Z', 'does not exist'],
    ['2026-01-01T00:60:00Z', 'does not exist'],
    ['2026-01-01T00:00:00+24:00', 'zone that does not exist'],
    ['0099-01-01', 'lies before 1970'],
    ['1969-12-31T23:59:59Z', 'lies before 1970'],
    ['1970-01-01T00:00:00+01:00', 'lies before 1970'],
  ])('refuses %s', (said, says) => {
    expect(() => eventTimeMs(said)).toThrow(says);
    expect(() => eventTimeMs(said)).toThrow(/^E_EVENT_TIME: /);
  });

  it('reads every text a Date writes', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true }), (date) => {
        expect(eventTimeMs(date.toISOString())).toBe(date.getTime());
      }),
    );
  });
});
