// alert in the real task: keys, time that runs ahead, records that come late, cuts, and what the events say.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AlertEvent, type AlertRule, alert, alerts, pipeline, stream, topic } from '../../index.ts';
import { alertId, fnv1a128 } from '../../operators/alertId.ts';
import { drive } from '../../testing/index.ts';
import { anything, type Build, codes, type Event, expectCutAnywhere, input, run, type RunOptions, series } from './series.ts';

// biome-ignore lint/suspicious/noExplicitAny: values are what the series says
type Any = any;
const watching =
  (rule: AlertRule<string, Any>): Build =>
  (s) =>
    s.pipe(alert('rule', rule));
const when = (v: Any) => (v === 'none' ? undefined : v === 'nan' ? Number.NaN : v);
const hot: AlertRule<string, Any> = { when, above: 55, clearBelow: 45 };
const held: AlertRule<string, Any> = { ...hot, for: { seconds: 10 } };
const silent: AlertRule<string, Any> = { absentFor: { seconds: 30 } };

/** `d1 5s firing` for each event. */
function told(rule: AlertRule<string, Any>, events: readonly Event[], options: RunOptions = { end: false }): string[] {
  return run(watching(rule), events, options).out.map((line) => line.replace(/=.*"state":"(\w+)".*/, ' $1'));
}

describe('owed cases', () => {
  it('empty, one below, one above', () => {
    expect(told(hot, [])).toEqual([]);
    expect(told(hot, series('d1 0s=54'))).toEqual([]);
    expect(told(hot, series('d1 0s=55'))).toEqual(['d1 0s firing']);
  });

  it('many, two keys interleaved, a duplicate', () => {
    expect(told(hot, series('d1 0s=60 2s=60 2s=60 4s=1', 'd2 1s=60 3s=1 5s=70'))).toEqual([
      'd1 0s firing',
      'd2 1s firing',
      'd2 3s resolved',
      'd1 4s resolved',
      'd2 5s firing',
    ]);
  });

  it('out of order: an older reading rewrites no history, and is counted', () => {
    const outcome = run(watching(hot), [...series('d1 0s=60 9s=60'), ...series('d1 5s=1'), ...series('d2 3s=60')], { end: false });
    expect(outcome.out).toHaveLength(2);
    expect(outcome.counters['step/rule/out_of_order']).toBe(1);
  });

  it('missing data: undefined, null, NaN, infinities', () => {
    for (const value of ['none', 'nan', Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const outcome = run(watching(hot), [
        { key: 'd1', value: 60, atMs: 0 },
        { key: 'd1', value, atMs: 1 },
      ]);
      expect(outcome.out).toHaveLength(1);
      expect(outcome.counters['step/rule/missing']).toBe(1);
    }
  });

  it('no key, a throw, a promise, a text: dead letters, and the state stays', () => {
    const rule: AlertRule<string, Any> = {
      above: 55,
      when: (v) => {
        if (v === 1) throw new Error('one');
        return v === 2 ? (Promise.resolve(1) as never) : v === 3 ? ('60' as never) : v;
      },
    };
    const outcome = run(watching(rule), series('d1 0s=60 1s=1 2s=2 3s=3 4s=61', '- 5s=60'), { end: false });
    expect(codes(outcome)).toEqual(['E_CALLBACK', 'E_ASYNC_STEP', 'E_RESULT', 'E_NULL_KEY']);
    expect(outcome.out).toHaveLength(1);
  });

  it('end of input ends a hold and a silence', () => {
    expect(told(held, series('d1 0s=60'), {})).toEqual(['d1 0s pending', 'd1 10s firing']);
    expect(told(silent, series('d1 0s=1'), {})).toEqual(['d1 30s firing']);
  });
});

describe('time', () => {
  it('another key moves it: the hold ends', () => {
    expect(told(held, series('d1 0s=60', 'd2 10.001s=1'))).toEqual(['d1 0s pending', 'd1 10s firing']);
    expect(told(held, series('d1 0s=60', 'd2 9.999s=1'))).toEqual(['d1 0s pending']);
  });

  it('the hold ends before the reading that would clear it, whoever moves time', () => {
    expect(told(held, series('d1 0s=60 12s=1'))).toEqual(['d1 0s pending', 'd1 10s firing', 'd1 12s resolved']);
  });

  it('a spike of a key that runs behind stream time is not taken for a long one', () => {
    const ahead = series('d2 3600s=1');
    expect(told(held, [...ahead, ...series('d1 0s=60 5s=1 20s=1')])).toEqual(['d1 0s pending']);
    expect(told(held, [...ahead, ...series('d1 0s=60 5s=60 11s=1')])).toEqual(['d1 0s pending', 'd1 10s firing', 'd1 11s resolved']);
    expect(told(held, [...ahead, ...series('d1 0s=60'), ...series('d2 3611s=1')])).toEqual(['d1 0s pending', 'd1 10s firing']);
  });

  it('a key that runs behind is not silent while it speaks', () => {
    const mixed = series('d2 3600s=1').concat(series('d1 0s=1'), series('d2 3620s=1'), series('d1 10s=1'), series('d2 3649s=1'));
    expect(told(silent, mixed)).toEqual([]);
    expect(told(silent, mixed.concat(series('d2 3651s=1')))).toEqual(['d1 3650s firing']);
  });

  it('silence fires once, and the next record ends it; a key never heard of is not missed', () => {
    expect(told(silent, series('d1 0s=1 10s=1 50s=1', 'd2 45s=1'))).toEqual(['d1 40s firing', 'd1 50s resolved']);
  });

  it('with when, only a reading is a sign of life', () => {
    expect(told({ when, absentFor: { seconds: 30 } }, series('d1 0s=1 20s=none 31s=none 40s=2'))).toEqual([
      'd1 30s firing',
      'd1 40s resolved',
    ]);
  });

  it('keys of a limit whose data lags, each by its own delay, get the same events as in order', () => {
    const readings = fc.array(
      fc.record({ key: fc.constantFrom('a', 'b', 'c'), value: fc.constantFrom(40, 50, 60, 'none'), atMs: fc.nat(60) }),
      { maxLength: 25 },
    );
    const delays = fc.record({ a: fc.nat(50), b: fc.nat(50), c: fc.nat(50) });
    // A key without delay that speaks every millisecond, so that stream time is what it would be live.
    const steady = Array.from({ length: 150 }, (_, atMs): Event => ({ key: 'z', value: 0, atMs }));
    const rule = { ...held, for: { ms: 10 } };
    const perKey = (events: readonly Event[]) =>
      told(rule, events, {}).toSorted((x, y) => (x[0] === y[0] ? 0 : (x[0] as string) < (y[0] as string) ? -1 : 1));
    fc.assert(
      fc.property(readings, delays, (made, delayMs) => {
        const inOrder = [...steady, ...(made as Event[])].toSorted((x, y) => x.atMs - y.atMs);
        const arrivalMs = ({ key, atMs }: Event) => atMs + (key === 'z' ? 0 : delayMs[key as 'a']);
        const arriving = inOrder.toSorted((x, y) => arrivalMs(x) - arrivalMs(y));
        expect(perKey(arriving)).toEqual(perKey(inOrder));
      }),
      { numRuns: 40 },
    );
  });

  it('an alarm never ends before it began, even when its key falls behind in between', () => {
    expect(told(held, [...series('d1 0s=60', 'd2 10.001s=1'), ...series('d1 1s=1')])).toEqual([
      'd1 0s pending',
      'd1 10s firing',
      'd1 10s resolved',
    ]);
  });
});

describe('events', () => {
  const events = (
    rule: AlertRule<string, Any>,
    records: readonly Event[],
  ): readonly { key: string; eventTimeMs: number; value: AlertEvent | null }[] => {
    const driver = drive(pipeline('p', [stream(input).pipe(alert('unhealthy-air', rule)).to(alerts())]));
    for (const { key, value, atMs } of records) driver.send(input, key, value, atMs);
    return driver.readTarget(alerts());
  };

  it('carry id, rule, state, severity, times and reading; the id is that of the activation', () => {
    const found = events({ ...held, severity: 'high' }, series('d1 0s=60 4s=70 12s=44 20s=60'));
    const base = { rule: 'unhealthy-air', severity: 'high', alertId: alertId('unhealthy-air', 'd1', 0, 0), sinceMs: 0 };
    expect(found.map(({ eventTimeMs, value }) => [eventTimeMs, value])).toEqual([
      [0, { ...base, state: 'pending', atMs: 0, value: 60 }],
      [10_000, { ...base, state: 'firing', atMs: 10_000, value: 70 }],
      [12_000, { ...base, state: 'resolved', atMs: 12_000, value: 44 }],
      [20_000, { ...base, alertId: alertId('unhealthy-air', 'd1', 20_000, 0), sinceMs: 20_000, state: 'pending', atMs: 20_000, value: 60 }],
    ]);
  });

  it('of silence have no reading', () => {
    const [fired] = events(silent, series('d1 0s=1', 'd2 31s=1'));
    expect(fired?.value).toEqual({
      alertId: alertId('unhealthy-air', 'd1', 0, 0),
      rule: 'unhealthy-air',
      state: 'firing',
      sinceMs: 0,
      atMs: 30_000,
    });
  });

  it('have ids that differ by rule, key, type of key, activation and ordinal', () => {
    const keys = ['7', 7, 7n, true, ['7'], { a: 7 }, new Uint8Array([7]), new Date(7)];
    const ids = keys.flatMap((key) => [alertId('r', key, 0, 0), alertId('s', key, 0, 0), alertId('r', key, 1, 0), alertId('r', key, 0, 1)]);
    expect(new Set(ids).size).toBe(ids.length);
    expect(alertId('r', { a: 1, b: 2 }, 0, 0)).toBe(alertId('r', { b: 2, a: 1 }, 0, 0));
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  });

  it('have ids by FNV-1a, 128 bits, as published', () => {
    expect(fnv1a128('')).toBe('6c62272e07bb014262b821756295c58d');
    expect(fnv1a128('a')).toBe('d228cb696f1a8caf78912b704e4a8964');
    expect(fnv1a128('foobar')).toBe('343e1662793c64bf6f0d3597ba446f18');
    // This text is the id of a stored activation: it may never change.
    expect(alertId('unhealthy-air', 'north/s1', 1_700_000_000_000, 0)).toBe(fnv1a128('["unhealthy-air","snorth/s1",1700000000000,0]'));
  });
});

describe('definition', () => {
  const define = (rule: unknown) => () => alert('a', rule as AlertRule<string, number>);
  const v = (x: number) => x;
  it.each([
    [{ when: v }, /give above, below or absentFor/],
    [{ when: v, above: 1, below: 2 }, /above and below are two alarms; give each a step and an id of its own/],
    [{ when: v, above: 1, absentFor: { seconds: 1 } }, /above and absentFor are two alarms/],
    [{ above: 1 }, /when is missing/],
    [{ when: 1, above: 1 }, /expects a function/],
    [{ when: v, above: 1, clearBelow: 2 }, /clearBelow \(2\) must be at most above \(1\)/],
    [{ when: v, below: 2, clearAbove: 1 }, /clearAbove \(1\) must be at least below \(2\)/],
    [{ when: v, above: 1, clearAbove: 0 }, /clearAbove goes with below; with above, use clearBelow/],
    [{ when: v, below: 1, clearBelow: 0 }, /clearBelow goes with above; with below, use clearAbove/],
    [{ when: v, above: Number.NaN }, /above must be a finite number, got NaN/],
    [{ when: v, above: '1' }, /above must be a finite number, got 1/],
    [{ absentFor: {} }, /absentFor must be longer than nothing/],
    [{ absentFor: { seconds: 1 }, for: { seconds: 1 } }, /for does not go with absentFor/],
    [{ when: v, above: 1, severity: 'urgent' }, /severity must be low, medium or high, got 'urgent'/],
    [{ when: v, abuv: 1 }, /unknown option 'abuv'/],
    [null, /expects a rule/],
  ])('%#', (rule, message) => {
    expect(define(rule)).toThrow(message);
    expect(define(rule)).toThrow(/E_PIPELINE: alert 'a'/);
  });

  it('describes itself', () => {
    expect(alert('a', held).spec.describe).toBe('alert when above 55, clear below 45, for 10s');
    expect(alert('a', { when: v, below: 2, severity: 'low' }).spec.describe).toBe('alert when below 2, low');
    expect(alert('a', silent).spec.describe).toBe('alert when absent for 30s');
  });
});

describe('cut anywhere', () => {
  it.each([
    ['a limit', hot],
    ['a hold', held],
    ['silence', silent],
  ])('%s', (_name, rule) => {
    expectCutAnywhere(watching(rule), series('d1 0s=60 9s=50 10s=60 25s=none 40s=60 90s=1', 'd2 3s=70 50s=44 61s=60 95s=60'));
  });

  it('for any records', () => {
    const records = fc.array(fc.record({ key: fc.constantFrom('a', 'b'), value: fc.constantFrom(40, 50, 60, 'none'), atMs: fc.nat(40) }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(
        records,
        fc.constantFrom<AlertRule<string, Any>>({ ...held, for: { ms: 10 } }, { absentFor: { ms: 15 } }),
        (events, rule) => expectCutAnywhere(watching(rule), events as Event[]),
      ),
      { numRuns: 25 },
    );
  });
});

it('an alert can be read by any topic whose schema fits', () => {
  const out = topic('out', anything);
  const driver = drive(pipeline('p', [stream(input).pipe(alert('rule', hot)).to(out)]));
  driver.send(input, 'd1', 60, 0);
  expect(driver.read(out)[0]?.value.state).toBe('firing');
});
