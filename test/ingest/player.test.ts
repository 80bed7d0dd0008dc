// The player against a real broker: everything arrives, in order, at its pace, through hang-ups and restarts.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Aedes, type AuthenticateError } from 'aedes';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadPlaySource, type PlaySource } from '../../ingest/playSource.ts';
import { formatPlayProgress, type Player, type PlayerOptions, type PlayProgress, startPlayer } from '../../ingest/player.ts';

interface Got {
  readonly client: string;
  readonly topic: string;
  readonly n: number;
  readonly atWallMs: number;
}

/** A broker whose PUBACKs wait for `hold`. */
class Broker {
  readonly got: Got[] = [];
  hold: (got: Got) => Promise<void> | undefined = () => undefined;
  readonly sockets = new Set<Socket>();
  #server: Server | undefined;
  #aedes: Aedes | undefined;
  port = 0;
  password: string | undefined;

  async start(port = 0): Promise<void> {
    const aedes = await Aedes.createBroker();
    aedes.authenticate = (_client, user, password, done) => {
      const right = this.password === undefined || (user === 'player' && password?.toString() === this.password);
      done(right ? null : (Object.assign(new Error('bad'), { returnCode: 4 }) as unknown as AuthenticateError), right);
    };
    aedes.authorizePublish = (client, packet, done) => {
      const got = {
        client: client?.id ?? '',
        topic: packet.topic,
        n: Number(JSON.parse(packet.payload.toString()).n),
        atWallMs: performance.now(),
      };
      this.got.push(got);
      void this.#answer(got, () => done(null));
    };
    const server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      aedes.handle(socket, undefined as never);
    });
    this.#server = server;
    this.#aedes = aedes;
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
  }

  async #answer(got: Got, done: () => void): Promise<void> {
    await this.hold(got);
    done();
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => (this.#server === undefined ? resolve(undefined) : this.#server.close(resolve)));
    await new Promise<void>((resolve) => (this.#aedes === undefined ? resolve() : this.#aedes.close(() => resolve())));
    this.#server = undefined;
    this.#aedes = undefined;
  }
}

let dir: string;
let broker: Broker;
let players: Player[];
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-player-'));
  broker = new Broker();
  players = [];
  await broker.start();
});
afterEach(async () => {
  await Promise.all(players.map((player) => player.stop()));
  await broker.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** `count` records of `clients` devices, one time step after each round. */
async function source(count: number, clients: number, stepMs: number, name = 'in'): Promise<PlaySource> {
  const lines = Array.from({ length: count }, (_, n) =>
    JSON.stringify({ topic: `d/${n % clients}`, payload: { n }, at: Math.floor(n / clients) * stepMs }),
  );
  writeFileSync(join(dir, `${name}.ndjson`), lines.join('\n'));
  return loadPlaySource(`${name}.ndjson`, { cwd: dir });
}

async function play(played: PlaySource, options: Partial<PlayerOptions> = {}): Promise<Player> {
  const player = await startPlayer({
    source: played,
    host: '127.0.0.1',
    port: broker.port,
    speed: 0,
    positionFile: join(dir, 'player.json'),
    ...options,
  });
  players.push(player);
  return player;
}

const numbers = (client?: number) => broker.got.filter((g) => client === undefined || g.topic === `d/${client}`).map((g) => g.n);
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);
/** Resolves once the broker has seen that many publishes. */
const seen = async (count: number): Promise<void> => {
  while (broker.got.length < count) await new Promise((resolve) => setImmediate(resolve));
};

describe('a play', () => {
  test('every record arrives once, one client a device, in order, and the end is said', async () => {
    const said: PlayProgress[] = [];
    const player = await play(await source(600, 6, 1000), { onProgress: (p) => said.push(p) });
    expect(await player.finished).toMatchObject({ state: 'finished', records: 600, count: 600, eventTimeMs: 99_000 });
    expect([...numbers()].sort((a, b) => a - b)).toEqual(upTo(600));
    for (const device of upTo(6)) {
      expect(numbers(device)).toEqual(upTo(100).map((i) => i * 6 + device));
      expect(new Set(broker.got.filter((g) => g.topic === `d/${device}`).map((g) => g.client))).toEqual(new Set([`play-d/${device}`]));
    }
    expect(said.at(-1)?.state).toBe('finished');
    expect(formatPlayProgress(said.at(-1) as PlayProgress)).toBe(
      'play in.ndjson: 600 of 600 records acknowledged, at 1970-01-01T00:01:39Z: the end',
    );
    expect(broker.sockets.size).toBe(0);
  });

  test('a record waits until everything older is acknowledged, so a slow device is not late', async () => {
    broker.hold = (got) => (got.topic === 'd/0' ? new Promise((resolve) => setTimeout(resolve, 2)) : undefined);
    await (await play(await source(120, 3, 60_000))).finished;
    const rounds = numbers().map((n) => Math.floor(n / 3));
    expect(rounds).toEqual([...rounds].sort((a, b) => a - b));
  });

  test('no more in flight than allowed', async () => {
    let inFlight = 0;
    let most = 0;
    broker.hold = async () => {
      most = Math.max(most, ++inFlight);
      await new Promise((resolve) => setTimeout(resolve, 20));
      inFlight--;
    };
    await (await play(await source(200, 40, 0), { inFlightMax: 16 })).finished;
    expect(numbers()).toHaveLength(200);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(16);
  });

  test('more devices than connections share them, each its own always', async () => {
    await (await play(await source(300, 30, 1000), { connectionsMax: 4 })).finished;
    expect(new Set(broker.got.map((g) => g.client)).size).toBeLessThanOrEqual(4);
    for (const device of upTo(30)) expect(numbers(device)).toEqual(upTo(10).map((i) => i * 30 + device));
  });

  test('an empty file ends at once', async () => {
    expect(await (await play(await source(0, 1, 0))).finished).toMatchObject({ state: 'finished', records: 0, count: 0 });
  });
});

describe('pace', () => {
  test('event time passes speed times faster than the clock', async () => {
    // 20 rounds, 100 s apart, at 2000×: 50 ms each. The upper bound is loose: machines are slow, clocks are not fast.
    await (await play(await source(20, 1, 100_000), { speed: 2_000 })).finished;
    const [first, last] = [broker.got[0] as Got, broker.got.at(-1) as Got];
    expect(last.atWallMs - first.atWallMs).toBeGreaterThan(19 * 50 - 60);
    for (const [i, got] of broker.got.entries()) expect(got.atWallMs - first.atWallMs).toBeGreaterThan(i * 50 - 60);
  });

  test('speed Infinity does not wait', async () => {
    expect(await (await play(await source(20, 1, 86_400_000), { speed: Number.POSITIVE_INFINITY })).finished).toMatchObject({
      records: 20,
    });
  });

  test.each([-1, Number.NaN])('speed %d is refused', async (speed) => {
    await expect(play(await source(1, 1, 0), { speed })).rejects.toMatchObject({ code: 'E_PLAY' });
  });
});

describe('position', () => {
  test('a second start goes on where the first stopped, and a third publishes nothing and says so', async () => {
    const played = await source(90, 3, 1000);
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    broker.hold = (got) => (got.n >= 45 ? gate : undefined);
    const first = await play(played);
    await seen(48);
    const stopped = first.stop();
    release();
    await stopped;
    expect(await first.finished).toMatchObject({ state: 'stopped', records: 48 });
    expect(formatPlayProgress(first.progress)).toContain('48 of 90');
    expect(statSync(join(dir, 'player.json')).mode & 0o777).toBe(0o600);

    expect(await (await play(played)).finished).toMatchObject({ state: 'finished', records: 90 });
    expect([...numbers()].sort((a, b) => a - b)).toEqual(upTo(90));

    const third = await play(played);
    expect(await third.finished).toMatchObject({ state: 'alreadyPlayed', records: 90 });
    expect(formatPlayProgress(third.progress)).toContain('played to its end before');
    expect(broker.got).toHaveLength(90);
  });

  test('only what is acknowledged counts: the rest is published again', async () => {
    const played = await source(10, 1, 0);
    broker.hold = (got) => (got.n === 4 ? new Promise(() => undefined) : undefined);
    const first = await play(played);
    await seen(5);
    await first.stop();
    expect(JSON.parse(readFileSync(join(dir, 'player.json'), 'utf8')).plays[played.hash].position).toBe(4);
    broker.hold = () => undefined;
    const before = broker.got.length;
    await (await play(played)).finished;
    expect(broker.got.slice(before).map((g) => g.n)).toEqual([4, 5, 6, 7, 8, 9]);
  });

  test('another file begins at its beginning, and the first keeps its place', async () => {
    const [a, b] = [await source(5, 1, 0, 'a'), await source(7, 1, 0, 'b')];
    await (await play(a)).finished;
    expect(await (await play(b)).finished).toMatchObject({ records: 7 });
    expect(await (await play(a)).finished).toMatchObject({ state: 'alreadyPlayed' });
  });

  test.each(['{', '{"version":2,"plays":{}}', '{"version":1,"plays":{"x":{"position":-1}}}'])(
    'a damaged position file %s is refused, not ignored',
    async (text) => {
      writeFileSync(join(dir, 'player.json'), text);
      await expect(play(await source(1, 1, 0))).rejects.toMatchObject({ code: 'E_PLAY', message: expect.stringContaining('player.json') });
    },
  );

  test('a position that cannot be written ends the play with an error', async () => {
    const player = await play(await source(5, 1, 0), { positionFile: join(dir, 'none/player.json') });
    await expect(player.finished).rejects.toMatchObject({ code: 'E_PLAY', message: expect.stringContaining('cannot be written') });
  });
});

describe('trouble', () => {
  test('a broker that hangs up and comes back gets everything, in order per device', async () => {
    const played = await source(60, 2, 1000);
    let hungUp = false;
    broker.hold = (got) => {
      if (got.n !== 20 || hungUp) return undefined;
      hungUp = true;
      for (const socket of broker.sockets) socket.destroy();
      return new Promise(() => undefined);
    };
    await (await play(played)).finished;
    expect(hungUp).toBe(true);
    for (const device of [0, 1]) {
      const arrived = numbers(device);
      expect(arrived.filter((n, i) => arrived.indexOf(n) === i)).toEqual(upTo(30).map((i) => i * 2 + device));
    }
  });

  test('a broker that is not there yet is waited for', async () => {
    const { port } = broker;
    await broker.stop();
    const said: PlayProgress[] = [];
    const player = await play(await source(10, 2, 0), { port, progressEveryMs: 20, onProgress: (p) => said.push(p) });
    while (!said.some((p) => p.trouble !== undefined && p.trouble !== 'not connected yet'))
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect(formatPlayProgress(said.at(-1) as PlayProgress)).toContain('waits for the broker: ');
    await broker.start(port);
    expect(await player.finished).toMatchObject({ state: 'finished', records: 10 });
  });

  test('user and password are sent; wrong ones end the play with an error', async () => {
    broker.password = 'secret';
    const played = await source(3, 1, 0);
    await expect((await play(played, { username: 'player', password: 'wrong' })).finished).rejects.toMatchObject({
      code: 'E_PLAY',
      message: expect.stringContaining('CONNACK 4'),
    });
    expect(await (await play(played, { username: 'player', password: 'secret' })).finished).toMatchObject({ state: 'finished' });
  });

  test('a record that the broker never takes is named by its line', async () => {
    broker.hold = (got) => {
      if (got.n === 2) for (const socket of broker.sockets) socket.destroy();
      return undefined;
    };
    const player = await play(await source(5, 1, 1000));
    await expect(player.finished).rejects.toMatchObject({
      code: 'E_PLAY',
      message: expect.stringContaining("line 3: the broker hung up 6 times on the publish to 'd/0'"),
    });
    expect(JSON.parse(readFileSync(join(dir, 'player.json'), 'utf8')).plays[(await source(5, 1, 1000)).hash].position).toBe(2);
  });

  test('stop does not wait for a broker that is away', async () => {
    await broker.stop();
    const player = await play(await source(5, 1, 1000));
    const began = performance.now();
    await player.stop();
    expect(await player.finished).toMatchObject({ state: 'stopped', records: 0 });
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});
