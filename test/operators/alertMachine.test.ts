// The alarm as a pure function: every rule of its kind, and the laws that hold for any trace.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AlertState,
  elapse,
  isOutOfOrder,
  type Observation,
  observe,
  type Rule,
  type Transition,
  UNSEEN,
} from '../../operators/alertMachine.ts';

type Reading = readonly [timeMs: number, seen: Observation];

const above = (limit: number, clear = limit, forMs = 0): Rule => ({ kind: 'threshold', sign: 1, limit, clear, forMs });
const below = (limit: number, clear = limit, forMs = 0): Rule => ({ kind: 'threshold', sign: -1, limit, clear, forMs });
const absent = (absentForMs: number): Rule => ({ kind: 'absence', absentForMs });

/** Runs one key in order, calling elapse when stream time comes past what is due. */
function trace(rule: Rule, readings: readonly Reading[], endMs = 10_000): string[] {
  let state: AlertState = UNSEEN;
  const told: Transition[] = [];
  const until = (timeMs: number) => {
    while (state.dueMs < timeMs) {
      const moved = elapse(rule, state, state.dueMs);
      state = moved.state;
      told.push(...moved.transitions);
    }
  };
  for (const [timeMs, seen] of readings) {
    until(timeMs);
    if (isOutOfOrder(rule, state, timeMs)) continue;
    const moved = observe(rule, state, seen, timeMs, timeMs);
    state = moved.state;
    told.push(...moved.transitions);
  }
  until(endMs);
  return told.map(({ state: now, atMs, sinceMs, value }) => `${now}@${atMs} since ${sinceMs}${value === undefined ? '' : ` =${value}`}`);
}

const activations = (told: readonly string[]) => told.filter((line) => line.startsWith('firing')).length;

describe('limit', () => {
  it('fires at the limit, ends only beyond the other one', () => {
    expect(
      trace(above(55, 45), [
        [0, 54.9],
        [1, 55],
        [2, 80],
        [3, 50],
        [4, 45],
        [5, 44.9],
        [6, 50],
        [7, 56],
      ]),
    ).toEqual(['firing@1 since 1 =55', 'resolved@5 since 1 =44.9', 'firing@7 since 7 =56']);
    expect(
      trace(below(2, 4), [
        [0, 3],
        [1, 2],
        [2, 4],
        [3, 4.1],
        [4, 1],
      ]),
    ).toEqual(['firing@1 since 1 =2', 'resolved@3 since 1 =4.1', 'firing@4 since 4 =1']);
  });

  it('without a dead-band it ends as soon as the limit is not reached', () => {
    expect(
      trace(above(55), [
        [0, 55],
        [1, 54.9],
      ]),
    ).toEqual(['firing@0 since 0 =55', 'resolved@1 since 0 =54.9']);
  });

  it('a limit of 0 and negative limits work', () => {
    expect(
      trace(below(0, 1), [
        [0, 0.5],
        [1, 0],
        [2, 1],
        [3, 2],
      ]),
    ).toEqual(['firing@1 since 1 =0', 'resolved@3 since 1 =2']);
    expect(
      trace(above(-10, -20), [
        [0, -11],
        [1, -10],
        [2, -20],
        [3, -21],
      ]),
    ).toEqual(['firing@1 since 1 =-10', 'resolved@3 since 1 =-21']);
  });
});

describe('for', () => {
  it('says pending at once, fires when the hold ends, with the newest reading', () => {
    expect(
      trace(above(55, 45, 10), [
        [0, 60],
        [4, 70],
        [12, 50],
      ]),
    ).toEqual(['pending@0 since 0 =60', 'firing@10 since 0 =70']);
  });

  it('a reading that does not reach the limit ends the hold, and nothing more is said; the dead-band counts for firing only', () => {
    expect(
      trace(above(55, 45, 10), [
        [0, 60],
        [9, 54],
        [10, 60],
        [19, 54],
      ]),
    ).toEqual(['pending@0 since 0 =60', 'pending@10 since 10 =60']);
  });

  it('the hold ends before the reading that would clear it', () => {
    expect(
      trace(above(55, 45, 10), [
        [0, 60],
        [11, 1],
      ]),
    ).toEqual(['pending@0 since 0 =60', 'firing@10 since 0 =60', 'resolved@11 since 0 =1']);
    expect(
      trace(above(55, 45, 10), [
        [0, 60],
        [10, 1],
      ]),
    ).toEqual(['pending@0 since 0 =60', 'firing@10 since 0 =60', 'resolved@10 since 0 =1']);
    expect(
      trace(above(55, 45, 10), [
        [0, 60],
        [9, 1],
      ]),
    ).toEqual(['pending@0 since 0 =60']);
  });
});

describe('missing data', () => {
  it('is never normal: it clears nothing', () => {
    expect(
      trace(above(55), [
        [0, 60],
        [1, 'missing'],
        [2, 'missing'],
        [3, 54],
      ]),
    ).toEqual(['firing@0 since 0 =60', 'resolved@3 since 0 =54']);
    expect(trace(below(5), [[0, 'missing']])).toEqual([]);
  });

  it('does not complete a hold: the next valid reading does, from where it began', () => {
    expect(
      trace(above(55, 45, 10), [
        [0, 60],
        [8, 'missing'],
        [30, 60],
      ]),
    ).toEqual(['pending@0 since 0 =60', 'firing@30 since 0 =60']);
    expect(
      trace(above(55, 45, 10), [
        [0, 60],
        [8, 'missing'],
        [30, 1],
      ]),
    ).toEqual(['pending@0 since 0 =60']);
  });

  it('does not begin a hold anew', () => {
    expect(
      trace(above(55, 45, 10), [
        [0, 60],
        [3, 'missing'],
        [5, 60],
      ]),
    ).toEqual(['pending@0 since 0 =60', 'firing@10 since 0 =60']);
  });

  it('after the hold ended it changes nothing', () => {
    expect(
      trace(above(55, 45, 10), [
        [0, 60],
        [10, 'missing'],
      ]),
    ).toEqual(['pending@0 since 0 =60', 'firing@10 since 0 =60']);
  });
});

describe('absence', () => {
  it('fires so long after the last sign of life, ends with the next', () => {
    expect(
      trace(
        absent(30),
        [
          [0, 'present'],
          [20, 'present'],
          [70, 'present'],
        ],
        90,
      ),
    ).toEqual(['firing@50 since 20', 'resolved@70 since 20']);
  });

  it('a reading that is missing is no sign of life', () => {
    expect(
      trace(
        absent(30),
        [
          [0, 5],
          [20, 'missing'],
          [40, 'missing'],
          [41, 6],
        ],
        60,
      ),
    ).toEqual(['firing@30 since 0', 'resolved@41 since 0 =6']);
  });

  it('a record older than the newest is one all the same, and silences are told apart', () => {
    let state = observe(absent(30), UNSEEN, 'present', 100, 100).state;
    state = observe(absent(30), state, 'present', 40, 120).state;
    expect(state).toMatchObject({ phase: 'normal', lastMs: 100, dueMs: 150 });
    const first = elapse(absent(30), state, 150);
    const back = observe(absent(30), first.state, 'present', 60, 160);
    const second = elapse(absent(30), back.state, 190);
    expect([first, back, second].map((moved) => moved.transitions[0])).toMatchObject([
      { state: 'firing', atMs: 150, sinceMs: 100, ordinal: 0 },
      { state: 'resolved', atMs: 160, sinceMs: 100, ordinal: 0 },
      { state: 'firing', atMs: 190, sinceMs: 100, ordinal: 1 },
    ]);
  });
});

describe('activations of the same millisecond', () => {
  it('are numbered', () => {
    let state: AlertState = UNSEEN;
    const ordinals: number[] = [];
    for (const value of [60, 1, 60, 1, 60]) {
      const moved = observe(above(55), state, value, 7, 7);
      state = moved.state;
      ordinals.push(...moved.transitions.map(({ ordinal }) => ordinal));
    }
    expect(ordinals).toEqual([0, 0, 1, 1, 2]);
  });
});

describe('for any trace', () => {
  const readings = fc
    .array(fc.tuple(fc.nat(20), fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 40, max: 60 }) }, fc.constant('missing' as const))), {
      maxLength: 40,
    })
    .map((steps) => {
      let timeMs = 0;
      return steps.map(([gap, seen]): Reading => [(timeMs += gap), seen]);
    });

  it('a wider dead-band never makes more alarms', () => {
    fc.assert(
      fc.property(readings, fc.nat(15), fc.nat(15), fc.nat(30), (trail, narrow, wider, forMs) => {
        const alarms = (band: number) => activations(trace(above(52, 52 - band, forMs), trail));
        expect(alarms(narrow + wider)).toBeLessThanOrEqual(alarms(narrow));
      }),
    );
  });

  it('noise within half the dead-band around the limit alarms once at most', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { maxLength: 100 }), (noise) => {
        expect(
          activations(
            trace(
              above(50, 46),
              noise.map((n, i): Reading => [i, 50 + n]),
            ),
          ),
        ).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('below is above with the sign turned', () => {
    const turned = (seen: Observation) => (typeof seen === 'number' ? -seen : seen);
    fc.assert(
      fc.property(readings, fc.nat(9), fc.nat(30), (trail, band, forMs) => {
        const mirrored = trace(
          below(-52, -52 + band, forMs),
          trail.map(([t, seen]): Reading => [t, turned(seen)]),
        );
        expect(mirrored.map((line) => line.replace('=-', '='))).toEqual(trace(above(52, 52 - band, forMs), trail));
      }),
    );
  });

  it('states follow each other: firing ends by resolved, pending leads to firing or to nothing', () => {
    fc.assert(
      fc.property(readings, fc.nat(9), fc.nat(30), (trail, band, forMs) => {
        let before = 'normal';
        for (const line of trace(above(52, 52 - band, forMs), trail)) {
          const now = line.split('@')[0] as string;
          expect([
            'normal>pending',
            'normal>firing',
            'pending>firing',
            'pending>pending',
            'firing>resolved',
            'resolved>pending',
            'resolved>firing',
          ]).toContain(`${before}>${now}`);
          before = now;
        }
      }),
    );
  });

  it('is what looking at every millisecond gives', () => {
    fc.assert(
      fc.property(readings, fc.nat(9), fc.integer({ min: 1, max: 30 }), (trail, band, forMs) => {
        const told: string[] = [];
        let since: number | undefined;
        let firing = false;
        let newest: Observation = 'missing';
        for (let ms = 0; ms <= 1_000; ms++) {
          if (since !== undefined && !firing && newest !== 'missing' && ms === since + forMs) {
            firing = true;
            told.push(`firing@${ms} since ${since} =${newest}`);
          }
          for (const [, seen] of trail.filter(([timeMs]) => timeMs === ms)) {
            newest = seen;
            if (seen === 'missing' || typeof seen !== 'number') continue;
            if (firing && seen < 52 - band) {
              told.push(`resolved@${ms} since ${since} =${seen}`);
              firing = false;
              since = undefined;
            } else if (!firing && seen < 52) since = undefined;
            else if (!firing && since === undefined) {
              since = ms;
              told.push(`pending@${ms} since ${ms} =${seen}`);
            } else if (!firing && ms >= (since as number) + forMs) {
              firing = true;
              told.push(`firing@${ms} since ${since} =${seen}`);
            }
          }
        }
        expect(trace(above(52, 52 - band, forMs), trail)).toEqual(told);
      }),
    );
  });
});
