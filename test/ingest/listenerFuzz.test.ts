// Hostile bytes: mutated sessions over real TCP. Whatever comes, the listener serves the next client, and loses nothing it acknowledged.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, openListener } from './openListener.ts';
import { connectPacket, PINGREQ, PUBACK, packet, publishPacket, type RawClient, text, u16 } from './rawClient.ts';

const SESSIONS = Number(process.env.FUZZ_SESSIONS ?? 2_000);

/** A small, fast, seeded generator (mulberry32), so that a failing run can be run again. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const names = ['t/d', 'j/d', '__proto__', 'constructor', 't/+', '#', '$SYS/x', '', 'a/'.repeat(40), '\u{ffff}', 't/é', 'x'.repeat(3_000)];

/** One packet, mostly proper, with the names that hurt. */
function somePacket(below: (n: number) => number): Buffer {
  if (below(2) === 0) return publishPacket(below(2) === 0 ? 't/d' : 'j/d', Buffer.alloc(below(300), below(256)), below(3), 1 + below(99));
  const name = names[below(names.length)] as string;
  const id = below(5) === 0 ? below(65_536) : 1 + below(9);
  switch (below(12)) {
    case 0:
      return connectPacket(name, { flags: below(256), rest: [text(name), text('x'), text(name)].slice(below(4)) });
    case 1:
    case 2:
    case 3:
    case 4:
      return publishPacket(name, Buffer.alloc(below(300), below(256)), below(4), id, below(16));
    case 5:
      return packet(0x82, u16(id), text(name), Buffer.from([below(4)]));
    case 6:
      return packet(0xa2, u16(id), text(name));
    case 7:
      return packet(below(2) === 0 ? 0x62 : (4 + below(4)) << 4, u16(id));
    case 8:
      return PINGREQ;
    case 9:
      return packet(below(256), Buffer.alloc(below(20), below(256)));
    case 10:
      return Buffer.from([below(256), 0xff, 0xff, below(256), below(256)]);
    default:
      return Buffer.from([0xe0, 0]);
  }
}

/** Flips, cuts, doubles and inserts bytes. */
function mutate(bytes: Buffer, below: (n: number) => number): Buffer {
  let mutated = Buffer.from(bytes);
  for (let n = below(4); n > 0 && mutated.length > 0; n--) {
    const at = below(mutated.length);
    const kind = below(4);
    if (kind === 0) mutated[at] = below(256);
    else if (kind === 1) mutated = mutated.subarray(0, at);
    else if (kind === 2) mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(at)]);
    else mutated = Buffer.concat([mutated.subarray(0, at), Buffer.from([below(256)]), mutated.subarray(at)]);
  }
  return mutated;
}

describe('fuzz', () => {
  const broken: unknown[] = [];
  const onBroken = (error: unknown) => void broken.push(error);
  beforeAll(() => {
    process.on('uncaughtException', onBroken).on('unhandledRejection', onBroken);
  });
  afterAll(() => {
    process.off('uncaughtException', onBroken).off('unhandledRejection', onBroken);
  });

  it(`${SESSIONS} sessions of mutated packets: nothing throws, the witness is served throughout`, async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    const below = seeded(seed);
    const { raw, stored, listener, warnings } = await openListener({ connectTimeoutMs: 2_000 });
    const witness = await raw().connect('witness');
    let packets = 0;
    let served = 0;
    for (let done = 0; done < SESSIONS; done += 50) {
      const clients: RawClient[] = [];
      for (let i = 0; i < 50; i++) {
        const client = raw();
        clients.push(client);
        // Most sessions begin properly, so that what follows gets past the door.
        client.send(below(10) === 0 ? mutate(connectPacket(`f${i}`), below) : connectPacket(`f${i}`));
        for (let n = 2 + below(10); n > 0; n--, packets++) {
          const bytes = somePacket(below);
          client.send(below(4) === 0 ? mutate(bytes, below) : bytes);
        }
      }
      witness.send(publishPacket('t/witness', String(++served), 1, 1 + (served % 65_000)));
      await witness.until(Array.from({ length: served }, (_, i) => PUBACK(1 + ((i + 1) % 65_000))).join(''));
      for (const client of clients)
        if (below(4) === 0) client.close();
        else client.socket.end();
      await Promise.all(clients.map((client) => client.closed));
    }
    expect(broken, `seed ${seed}`).toEqual([]);
    expect(
      warnings.filter((w) => w.includes('failed')),
      `seed ${seed}`,
    ).toEqual([]);
    expect(packets).toBeGreaterThan(SESSIONS * 5);
    const witnessed = (await stored()).filter((r) => String(r.key) === 'witness').map((r) => Number(r.value));
    expect(witnessed, `seed ${seed}`).toEqual(Array.from({ length: served }, (_, i) => i + 1));
    // The fuzz got in: publishes were taken, and packets were refused.
    const { received, refusedPackets } = listener.counters();
    expect(received).toBeGreaterThan(SESSIONS);
    expect(refusedPackets).toBeGreaterThan(SESSIONS / 4);
    await eventually(() => listener.counters().clients).toBe(1);
  }, 120_000);
});
