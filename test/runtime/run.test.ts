// The whole product from its command line: run, publish, read, query, stop, go on; kills of each process.
import { execFile } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunningInfo } from '../../runtime/messages.ts';
import { call, type Finished, interrupt, type Started, start, startRun, TINY_PIPELINE, temporaryFolder } from './cliProcess.ts';

let folder: ReturnType<typeof temporaryFolder>;
const started: Started[] = [];
beforeEach(() => {
  folder = temporaryFolder({ 'tiny.ts': TINY_PIPELINE });
});
afterEach(async () => {
  for (const run of started.splice(0)) {
    run.child.kill('SIGTERM');
    await run.ended;
  }
  folder.remove();
});

const here = () => ({ cwd: folder.dir });
const run = async (...args: string[]) => {
  const it = await startRun(['./tiny.ts', ...args], here());
  started.push(it);
  return it;
};
const cli = (...args: string[]) => call(args, here());
const publish = (device: string, n: number, at = 1_700_000_000_000 + n) => cli('publish', `tiny/${device}`, JSON.stringify({ at, n }));
const done = (finished: Finished): Finished => {
  expect({ code: finished.code, stderr: finished.stderr }).toEqual({ code: 0, stderr: '' });
  return finished;
};
const ndjson = (finished: Finished): Record<string, unknown>[] =>
  done(finished)
    .stdout.trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const rows = async (sql: string): Promise<Record<string, unknown>[]> =>
  JSON.parse(done(await cli('query', sql, '--format', 'json')).stdout) as Record<string, unknown>[];
const portsFile = (): RunningInfo => JSON.parse(readFileSync(join(folder.dir, '.millrace', 'ports.json'), 'utf8')) as RunningInfo;

describe('a run', { timeout: 60_000 }, () => {
  it('takes publishes, gives records and rows, stops within 5 s, and goes on', async () => {
    const first = await run();
    expect(first.stdout()).toMatch(/^millrace ready \{.*\}\n$/);
    expect(Object.keys(first.ready)).toEqual(['mqtt', 'http', 'data', 'pipelines']);
    expect(first.ready).toMatchObject({
      mqtt: { host: '127.0.0.1' },
      http: { host: '127.0.0.1' },
      data: join(folder.dir, '.millrace'),
      pipelines: ['tiny'],
    });
    await first.until('stderr', /npx millrace query "SELECT \* FROM even LIMIT 5"/);
    expect(statSync(first.ready.data).mode & 0o777).toBe(0o700);
    for (const file of ['token', 'ports.json', 'results.duckdb', 'flushed'])
      expect([file, statSync(join(first.ready.data, file)).mode & 0o777]).toEqual([file, 0o600]);
    expect(portsFile()).toMatchObject({ mqtt: first.ready.mqtt, http: first.ready.http, pid: first.child.pid });

    for (const n of [1, 2, 4]) done(await publish('d1', n));
    const read = ndjson(await cli('read', 'tiny.readings'));
    expect(
      read.map(({ topic, partition, offset, key, value, eventTimeMs }) => ({ topic, partition, offset, key, value, eventTimeMs })),
    ).toEqual(
      [1, 2, 4].map((n, offset) => ({
        topic: 'tiny.readings',
        partition: 0,
        offset,
        key: 'd1',
        value: { at: 1_700_000_000_000 + n, n },
        eventTimeMs: 1_700_000_000_000 + n,
      })),
    );
    await expect
      .poll(() => rows('SELECT key, n, twice FROM even ORDER BY n'), { timeout: 10_000 })
      .toEqual([
        { key: 'd1', n: 2, twice: 4 },
        { key: 'd1', n: 4, twice: 8 },
      ]);

    const stopping = performance.now();
    expect((await interrupt(first)).code).toBe(0);
    expect(performance.now() - stopping).toBeLessThan(5_000);
    expect(() => portsFile()).toThrow(/ENOENT/);
    expect(ndjson(await cli('read', 'tiny.even', '--limit', '1'))).toMatchObject([{ key: 'd1', value: { n: 2, twice: 4 } }]);
    expect(await cli('query', 'SELECT 1')).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error E_NOT_RUNNING: .*\nfix: /) });

    await run();
    done(await publish('d1', 6));
    await expect.poll(() => rows('SELECT n FROM even ORDER BY n'), { timeout: 10_000 }).toEqual([{ n: 2 }, { n: 4 }, { n: 6 }]);
  });

  it('keeps acknowledging while the desk is gone, and brings the desk back', async () => {
    const it = await run();
    const desk = await childOf(it, 'deskProcess');
    process.kill(desk, 'SIGKILL');
    done(await publish('d1', 2));
    done(await publish('d1', 4));
    await it.until('stderr', /the desk is gone: it was killed by SIGKILL; starting it again/);
    await expect
      .poll(async () => (await cli('query', 'SELECT n FROM even ORDER BY n', '--format', 'json')).stdout, { timeout: 20_000 })
      .toBe('[{"n":2},{"n":4}]\n');
    expect(portsFile().http).toEqual(it.ready.http);
  });

  it('brings the line back on the same port, with everything acknowledged', async () => {
    const it = await run();
    done(await publish('d1', 2));
    process.kill(await childOf(it, 'lineProcess'), 'SIGKILL');
    await expect.poll(async () => (await publish('d1', 4)).code, { timeout: 20_000 }).toBe(0);
    expect(ndjson(await cli('read', 'tiny.readings')).map(({ value }) => (value as { n: number }).n)).toEqual([2, 4]);
  });

  it('leaves no orphans when the supervisor is killed, and the next run goes on', async () => {
    const it = await run();
    done(await publish('d1', 2));
    const children = [await childOf(it, 'lineProcess'), await childOf(it, 'deskProcess')];
    it.child.kill('SIGKILL');
    const next = await run();
    for (const pid of children) await expect.poll(() => isAlive(pid), { timeout: 6_000 }).toBe(false);
    await expect.poll(() => rows('SELECT n FROM even'), { timeout: 10_000 }).toEqual([{ n: 2 }]);
    expect(next.ready.pipelines).toEqual(['tiny']);
  });

  it('refuses a changed state, and throws it away when told to, once', async () => {
    const windowed = (minutes: number): string =>
      TINY_PIPELINE.replace('{ duckdb', '{ aggregate, count, tumbling, duckdb').replace(
        /const even = .*;/,
        `const even = stream(readings).pipe(aggregate('per-window', tumbling({ minutes: ${minutes} }), { n: count() }));`,
      );
    folder.write('tiny.ts', windowed(1));
    const before = await run();
    done(await publish('d1', 1));
    await expect
      .poll(async () => await (await fetch(`http://127.0.0.1:${before.ready.http.port}/metrics`)).text(), { timeout: 10_000 })
      .toMatch(/millrace_state_rows\{.*\} 1\n/);
    await interrupt(before);
    folder.write('tiny.ts', windowed(5));
    const refused = await cli('run', './tiny.ts', '--mqtt-port', '0', '--http-port', '0');
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error E_STATE_SHAPE: .*--reset-step per-window/m) });
    const after = await run('--reset-step', 'per-window');
    done(await publish('d1', 2));
    process.kill(await childOf(after, 'lineProcess'), 'SIGKILL');
    await expect.poll(async () => (await publish('d1', 600_003)).code, { timeout: 20_000 }).toBe(0);
    await expect.poll(() => rows('SELECT n FROM even'), { timeout: 10_000 }).toEqual([{ n: 1 }]);
  });

  it('leaves a record to the dead letters that hung the line three times', { timeout: 150_000 }, async () => {
    folder.write(
      'tiny.ts',
      TINY_PIPELINE.replace('filter((r) => r.n % 2 === 0)', 'filter((r) => { while (r.n === 13); return r.n % 2 === 0; })'),
    );
    const it = await run();
    for (const n of [2, 13]) await publish('d1', n);
    await it.until('stderr', /the record tiny\.readings\/0@1 has hung the line three times/);
    await expect.poll(async () => (await cli('publish', 'tiny/d1', '{"at":1700000000006,"n":6}')).code, { timeout: 20_000 }).toBe(0);
    const dead = async () => (await cli('read', 'millrace.dlq')).stdout;
    await expect.poll(dead, { timeout: 20_000 }).toMatch(/^\{"topic":"millrace\.dlq".*"n":13.*"dlq\.topic":"tiny\.readings".*\}\n$/);
    await expect.poll(async () => (await cli('read', 'tiny.even')).stdout, { timeout: 20_000 }).toMatch(/"n":2,[^]*"n":6,/);
  });

  it('refuses a second run on the same data folder', async () => {
    await run();
    const second = await cli('run', './tiny.ts', '--mqtt-port', '0', '--http-port', '0');
    expect(second).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/error E_LOCKED: /) });
    done(await publish('d1', 2));
  });

  it('ends by itself with --until-end, everything in DuckDB', async () => {
    const it = await run();
    for (const n of [2, 4]) done(await publish('d1', n));
    await interrupt(it);
    const end = await startRun(['./tiny.ts', '--until-end'], here());
    expect(await end.ended).toMatchObject({ code: 0 });
  });

  it('takes another port when the default is taken, and fails when the given one is', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    try {
      const refused = await cli('run', './tiny.ts', '--mqtt-port', String(port), '--http-port', '0');
      expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(new RegExp(`error E_CONFIG: .*${port}`)) });
      const http = await cli('run', './tiny.ts', '--mqtt-port', '0', '--http-port', String(port));
      expect(http).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(new RegExp(`error E_CONFIG: .*${port}`)) });
    } finally {
      server.close();
    }
  });

  it('stops cleanly before it is ready', async () => {
    const it = start(['run', './tiny.ts', '--mqtt-port', '0', '--http-port', '0'], here());
    await new Promise<void>((resolve) => it.child.once('spawn', () => resolve()));
    await expect
      .poll(() => statSync(join(folder.dir, '.millrace'), { throwIfNoEntry: false }) !== undefined, { timeout: 10_000, interval: 10 })
      .toBe(true);
    expect((await interrupt(it)).code).toBe(0);
  });
});

describe('publish, read and topics', { timeout: 60_000 }, () => {
  it('say what is wrong', async () => {
    expect(await cli('publish', 'tiny/d1', '{}')).toMatchObject({ code: 1, stderr: expect.stringContaining('E_NOT_RUNNING') });
    expect(await cli('read', 'x')).toMatchObject({ code: 1, stderr: expect.stringContaining('E_NOT_RUNNING') });
    await run();
    expect(await cli('publish', 'tiny/d1', '{"n":')).toMatchObject({ code: 2, stderr: expect.stringContaining('the message is not JSON') });
    expect(await cli('publish', 'tiny/+', '{}')).toMatchObject({ code: 2, stderr: expect.stringContaining('no MQTT topic to publish to') });
    expect(await cli('read', 'tiny.reading')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("E_UNKNOWN_TOPIC: there is no topic 'tiny.reading'; did you mean tiny.readings?"),
    });
    expect(await cli('read', 'tiny.readings', '--from', '7')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('E_OFFSET_OUT_OF_RANGE'),
    });
    expect(await cli('read', 'tiny.readings', '--from', 'soon')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('use beginning, end, an offset, or a time'),
    });
    expect(await cli('query', 'DROP TABLE even')).toMatchObject({ code: 1, stderr: expect.stringContaining('error E_QUERY') });
  });

  it('start reading at an offset, a time, the end, and follow', async () => {
    await run();
    for (const n of [1, 2, 3]) done(await publish('d1', n, 1_700_000_000_000 + n * 1_000));
    done(await cli('publish', 'tiny/d2', '{"at":1700000004000,"n":4}', '--qos', '0'));
    const numbers = async (...args: string[]) =>
      ndjson(await cli('read', 'tiny.readings', ...args)).map(({ value }) => (value as { n: number }).n);
    await expect.poll(() => numbers(), { timeout: 5_000 }).toEqual([1, 2, 3, 4]);
    expect(await numbers('--from', '2')).toEqual([3, 4]);
    expect(await numbers('--from', '2023-11-14T22:13:22Z')).toEqual([2, 3, 4]);
    expect(await numbers('--from', 'end')).toEqual([]);
    expect(await numbers('--limit', '2', '--partition', '0')).toEqual([1, 2]);
    const follow = start(['read', 'tiny.readings', '--from', 'end', '--follow', '--limit', '1'], here());
    started.push(follow);
    // Published until one arrives: `end` is the end when the reader has opened.
    for (let n = 10; follow.child.exitCode === null; n++) await publish('d1', n);
    expect(ndjson(await follow.ended)).toHaveLength(1);
    const table = done(await cli('topics')).stdout;
    expect(table).toMatch(/^topic +partitions +records +bytes +keep +offsets\n/);
    expect(table).toMatch(/tiny\.readings +1 +\d+ +\d+ +7d +0–\d+/);
  });
});

/** The pid of a child of the run whose command line names the module. */
async function childOf(run: Started, module: string): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-ww', '-o', 'pid=,ppid=,args=']);
  const found = stdout.split('\n').map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line));
  const child = found.find((row) => Number(row?.[2]) === run.child.pid && row?.[3]?.includes(module));
  if (child === undefined || child === null) throw new Error(`no ${module} below ${run.child.pid}:\n${run.stderr()}`);
  return Number(child[1]);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
