// The smart city's golden run: two real winter days of three stations with six mistakes put in, and its printed topology.
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { describePlan } from '../../engine/describe.ts';
import { planOf } from '../../engine/plan.ts';
import smartCity from '../../pipelines/smart-city/pipeline.ts';
import type { Driver } from '../../testing/drive.ts';
import { type PlayThroughOptions, playThrough } from './playThrough.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const golden = (name: string) => here(`../golden/smart-city/${name}`);
const run = (options: PlayThroughOptions = {}) =>
  playThrough(smartCity, here('../../pipelines/smart-city/pipeline.ts'), golden('in.ndjson'), options);

/** Everything it wrote, a line a row: table, key, event time, value; then the dead letters. */
function output(driver: Driver): string {
  const lines = driver.plan.tables.flatMap(({ table, topic }) =>
    driver.read(topic).map(({ key, eventTimeMs, value }) => JSON.stringify([table.name, key, new Date(eventTimeMs).toISOString(), value])),
  );
  const dead = driver.deadLetters().map(({ code, key, reason }) => JSON.stringify(['dead letter', key, code, reason]));
  return `${[...lines, ...dead].join('\n')}\n`;
}

describe('golden', () => {
  test('in.ndjson → out.ndjson', async () => {
    await expect(output(await run())).toMatchFileSnapshot(golden('out.ndjson'));
  });

  test('topology', async () => {
    await expect(describePlan(planOf(smartCity), 'text')).toMatchFileSnapshot(golden('topology.txt'));
  });
});

describe('cut anywhere', () => {
  test('stopped and restored after every single record, the output is the same to the byte', async () => {
    expect(output(await run({ between: (driver) => driver.cut() }))).toBe(output(await run()));
  });

  test('crashed at every record with commits every seven, the same again', async () => {
    const crashed = await run({ commitEvery: 7, between: (driver, index) => index % 3 === 0 && driver.crash() });
    expect(output(crashed)).toBe(output(await run({ commitEvery: 7 })));
  });
});
