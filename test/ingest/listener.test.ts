// The listener over real TCP: what it promises, what it refuses, what it survives.
import { createServer } from 'node:net';
import fc from 'fast-check';
import mqttClient from 'mqtt';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MillraceError } from '../../engine/errors.ts';
import { startListener } from '../../ingest/listener.ts';
import { hasProgram, requireOrSkip } from '../real.ts';
import { eventually, heldGate, openListener, routedTopics } from './openListener.ts';
import { gatedLog, readAll } from './logs.ts';
import { CONNACK, connectPacket, PINGREQ, PINGRESP, PUBACK, packet, publishPacket, remainingLength, text, u16 } from './rawClient.ts';

async function mqttJs(port: number, options: mqttClient.IClientOptions = {}) {
  const client = await mqttClient.connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, ...options });
  onTestFinished(() => {
    client.end(true);
  });
  return client;
}

const mosquitto = requireOrSkip('mosquitto_pub', hasProgram('mosquitto_pub', ['--help']), 'install mosquitto-clients');

describe('durable before acknowledged', () => {
  it.each([
    [1, PUBACK(7)],
    [2, '50020007'],
  ])('QoS %i: nothing while the append is held, the acknowledgement once it has happened', async (qos, ack) => {
    const { gate, open, waiting } = heldGate();
    const { raw, stored } = await openListener({ gate });
    const client = await raw().connect();
    client.send(publishPacket('t/d', 'x', qos, 7), PINGREQ);
    await waiting;
    // The ping came after the publish; its answer shows that the publish has been handled.
    await client.until(PINGRESP);
    client.send(PINGREQ);
    await client.until(PINGRESP + PINGRESP);
    expect(client.received).toBe(PINGRESP + PINGRESP);
    expect(await stored()).toEqual([]);
    open();
    await client.until(PINGRESP + PINGRESP + ack);
    expect(await stored()).toHaveLength(1);
  });

  it('one write acknowledges all of a batch, in the order sent', async () => {
    const { gate, open, waiting } = heldGate();
    const { raw } = await openListener({ gate });
    const client = await raw().connect();
    client.send(publishPacket('t/d', 'first', 1, 1));
    await waiting;
    const ids = Array.from({ length: 500 }, (_, i) => i + 2);
    client.send(...ids.map((id) => publishPacket(id % 7 === 0 ? 'nobody/takes/this' : 't/d', 'x', 1, id)), PINGREQ);
    await client.until(PINGRESP);
    open();
    await client.until(PINGRESP + PUBACK(1) + ids.map(PUBACK).join(''));
  });

  it('keeps the order of each client in the log and in its acknowledgements, whatever appends take', async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    const random = fc.sample(fc.nat(8), { seed, numRuns: 2_000 });
    let appends = 0;
    const gate = async (append: () => Promise<void>) => {
      await new Promise((resolve) => setTimeout(resolve, random[appends++ % random.length]));
      await append();
    };
    const { raw, stored } = await openListener({ gate });
    const each = 1_000;
    const clients = await Promise.all(Array.from({ length: 20 }, (_, c) => raw().connect(`c${c}`)));
    await Promise.all(
      clients.map(async (client, c) => {
        for (let i = 1; i <= each; i++) {
          client.send(publishPacket(`t/c${c}`, String(i), 1, i));
          if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        await client.until(Array.from({ length: each }, (_, i) => PUBACK(i + 1)).join(''));
      }),
    );
    const byClient = new Map<string, number[]>();
    for (const { key, value } of await stored()) {
      const name = String(key);
      byClient.set(name, [...(byClient.get(name) ?? []), Number(value)]);
    }
    expect(byClient.size, `seed ${seed}`).toBe(20);
    for (const [name, values] of byClient) expect(values, `${name}, seed ${seed}`).toEqual(Array.from({ length: each }, (_, i) => i + 1));
    expect(appends).toBeGreaterThan(3);
  });

  it('stores QoS 0 too, in order with QoS 1, and acknowledges nothing for it', async () => {
    const { raw, stored, listener } = await openListener();
    const client = await raw().connect();
    client.send(
      publishPacket('t/d', 'a', 0),
      publishPacket('t/d', 'b', 1, 1),
      publishPacket('t/d', 'c', 0),
      publishPacket('t/d', 'd', 1, 2),
    );
    await client.until(PUBACK(1) + PUBACK(2));
    expect((await stored()).map((r) => [String(r.value), r.headers['mqtt.qos']])).toEqual([
      ['a', '0'],
      ['b', '1'],
      ['c', '0'],
      ['d', '1'],
    ]);
    expect(listener.counters()).toMatchObject({ received: 4, stored: 4 });
  });

  it('QoS 2 sent again in one connection is stored once, in another connection again', async () => {
    const { raw, stored } = await openListener();
    const one = await raw().connect('q');
    one.send(publishPacket('t/d', 'x', 2, 9));
    await one.until('50020009');
    one.send(publishPacket('t/d', 'x', 2, 9, 8), Buffer.from([0x62, 2, 0, 9]), Buffer.from([0x62, 2, 0, 9]));
    await one.until('5002000950020009' + '70020009'.repeat(2));
    expect(await stored()).toHaveLength(1);
    one.send(publishPacket('t/d', 'y', 2, 9));
    await one.until('5002000950020009' + '70020009'.repeat(2) + '50020009');
    expect(await stored()).toHaveLength(2);
    const two = await raw().connect('q');
    two.send(publishPacket('t/d', 'y', 2, 9, 8));
    await two.until('50020009');
    expect(await stored()).toHaveLength(3);
  });

  it('another error of the log is fatal: nothing is acknowledged then or later', async () => {
    const { raw, fatal, listener } = await openListener({
      gate: () => Promise.reject(new MillraceError('E_FLUSH', 'fdatasync: EIO')),
    });
    const client = await raw().connect();
    client.send(publishPacket('t/d', 'x', 1, 1));
    await eventually(() => fatal.map((error) => error.message)).toEqual(['E_FLUSH: fdatasync: EIO']);
    client.send(publishPacket('t/d', 'x', 1, 2));
    const other = await raw().connect('other');
    other.send(publishPacket('t/d', 'x', 1, 3));
    expect(listener.state).toBe('failed');
    await listener.close();
    expect([await client.closed, await other.closed]).toEqual(['', '']);
    expect(fatal).toHaveLength(1);
  });
});

describe('a full log', () => {
  it('holds what was received, takes nothing more, says so once, and goes on when there is room', async () => {
    let isFull = true;
    let tries = 0;
    const { raw, warnings, listener, stored } = await openListener({
      gate: async (append) => {
        tries++;
        if (isFull) throw new MillraceError('E_LOG_FULL', 'the log holds 16 GiB');
        await append();
      },
    });
    const client = await raw().connect('a');
    client.send(publishPacket('t/d', '1', 1, 1), publishPacket('t/d', 'q', 0));
    await eventually(() => listener.state).toBe('full');
    const late = await raw().connect('b');
    late.send(publishPacket('t/d', '3', 1, 3));
    client.send(publishPacket('t/d', '2', 1, 2));
    await eventually(() => tries).toBeGreaterThan(3);
    expect([client.received, late.received]).toEqual(['', '']);
    expect(listener.status.drainedAtMs('raw')).toBeUndefined();
    expect(listener.counters()).toMatchObject({ received: 2, stored: 0 });
    isFull = false;
    await client.until(PUBACK(1) + PUBACK(2));
    await late.until(PUBACK(3));
    expect((await stored()).map((r) => String(r.value)).sort()).toEqual(['1', '2', '3', 'q']);
    expect(warnings).toEqual([
      'E_LOG_FULL: the log holds 16 GiB; publishes are neither taken nor acknowledged until there is room',
      'the log has room again: publishes are taken and acknowledged',
    ]);
    expect(listener.state).toBe('open');
  });

  it('a flood faster than the log stays in the sockets, not in memory', async () => {
    const { gate, open, waiting } = heldGate();
    const { raw, listener, stored } = await openListener({ gate });
    const clients = await Promise.all(Array.from({ length: 8 }, (_, c) => raw().connect(`flood${c}`)));
    const payload = Buffer.alloc(60_000, 0x61);
    const each = 200;
    for (const client of clients) for (let i = 1; i <= each; i++) client.send(publishPacket('t/d', payload, 1, i));
    await waiting;
    await eventually(() => listener.counters().received).toBeGreaterThan(50);
    let before = -1;
    await expect
      .poll(() => {
        const { received } = listener.counters();
        const isStill = received === before;
        before = received;
        return isStill;
      })
      .toBe(true);
    // 4 MiB a batch and two batches, of 96 MB that were sent.
    expect(listener.counters().received * payload.length).toBeLessThan(11e6);
    open();
    for (const client of clients) await client.until(Array.from({ length: each }, (_, i) => PUBACK(i + 1)).join(''));
    expect(await stored()).toHaveLength(each * clients.length);
  }, 60_000);
});

describe('routes and dead letters', () => {
  it('stores under key, event time and headers, and sends what fails to the dead letters', async () => {
    const { listener, log, stored } = await openListener({ nowMs: () => 1_700_000_000_000 });
    const client = await mqttJs(listener.port);
    await client.publishAsync('j/d1', '{"at":1600000000000}', { qos: 1, retain: true });
    await client.publishAsync('j/d1', '{"at":4102444800000}', { qos: 1 });
    await client.publishAsync('j/d1', 'on', { qos: 2 });
    expect(await stored('json')).toMatchObject([
      {
        timeMs: 1_600_000_000_000,
        headers: { 'mqtt.topic': 'j/d1', 'mqtt.qos': '1', 'mqtt.retain': 'true', ingestTimeMs: '1700000000000' },
      },
    ]);
    const letters = await readAll(log, 'millrace.dlq');
    expect(letters.map(({ value, headers }) => [String(value), headers['dlq.code']])).toEqual([
      ['{"at":4102444800000}', 'E_CLOCK_SKEW'],
      ['on', 'E_DECODE'],
    ]);
    expect(listener.counters()).toMatchObject({ received: 3, stored: 1, deadLettered: { E_CLOCK_SKEW: 1, E_DECODE: 1 }, unrouted: 0 });
  });

  it('acknowledges, counts and names once what no route takes', async () => {
    const { listener, warnings } = await openListener();
    const client = await mqttJs(listener.port);
    for (let i = 0; i < 3; i++) await client.publishAsync('lost/\u001b[2J\n', 'x', { qos: 1 });
    await client.publishAsync('lost/too', 'x', { qos: 1 });
    expect(listener.counters()).toMatchObject({ received: 4, stored: 0, unrouted: 4 });
    expect(warnings).toEqual([
      "no route takes the MQTT topic 'lost/\\u{1b}[2J\\u{a}': acknowledged, counted, not stored",
      "no route takes the MQTT topic 'lost/too': acknowledged, counted, not stored",
    ]);
  });

  it('a will is stored like a publish when the client vanishes, and not when it says goodbye', async () => {
    const { raw, stored } = await openListener();
    const will = { flags: 2 | 4 | 8 | 32, rest: [text('t/d'), text('gone')] };
    (await raw().connect('polite', will)).send(Buffer.from([0xe0, 0]));
    (await raw().connect('lost', will)).close();
    await expect
      .poll(stored)
      .toMatchObject([{ value: Buffer.from('gone'), headers: { 'mqtt.topic': 't/d', 'mqtt.qos': '1', 'mqtt.retain': 'true' } }]);
  });

  it('wills stay unsent when the listener closes: the devices did not fail', async () => {
    const { raw, stored, listener } = await openListener();
    const client = await raw().connect('lost', { flags: 2 | 4, rest: [text('t/d'), text('gone')] });
    await listener.close();
    await client.closed;
    expect(await stored()).toEqual([]);
  });
});

describe('subscribers', () => {
  it('look on at QoS 0, see retained messages, and see nothing that is not in the log yet', async () => {
    const { gate, open, waiting } = heldGate();
    const { listener } = await openListener({ gate });
    const [device, viewer] = [await mqttJs(listener.port), await mqttJs(listener.port)];
    const seen: string[] = [];
    viewer.on('message', (mqttTopic, payload, { qos, retain }) => seen.push(`${mqttTopic} ${payload} ${qos} ${retain}`));
    expect(await viewer.subscribeAsync({ 't/#': { qos: 1 }, 'o/+': { qos: 2 } })).toMatchObject([{ qos: 0 }, { qos: 0 }]);
    const published = Promise.all([device.publishAsync('t/d', '1', { qos: 1, retain: true }), device.publishAsync('o/d', '2', { qos: 2 })]);
    await waiting;
    // What had been shown would be here by the time these answers are.
    for (const filter of ['x/1', 'x/2', 'x/3']) await viewer.subscribeAsync(filter);
    expect(seen).toEqual([]);
    open();
    await published;
    await eventually(() => seen).toEqual(['t/d 1 0 false', 'o/d 2 0 false']);
    const late = await mqttJs(listener.port);
    const lateSaw = new Promise((resolve) =>
      late.on('message', (mqttTopic, payload, { retain }) => resolve([mqttTopic, String(payload), retain])),
    );
    await late.subscribeAsync('t/+');
    expect(await lateSaw).toEqual(['t/d', '1', true]);
    await viewer.unsubscribeAsync('t/#');
    await device.publishAsync('t/d', '3', { qos: 1 });
    await device.publishAsync('o/d', '4', { qos: 1 });
    await eventually(() => seen.at(-1)).toBe('o/d 4 0 false');
    expect(seen).toHaveLength(3);
  });

  it('may not subscribe to $ topics, nor more than a hundred filters', async () => {
    const { raw } = await openListener();
    const client = await raw().connect();
    const subscribe = (id: number, filter: string) => packet(0x82, u16(id), text(filter), Buffer.from([1]));
    client.send(subscribe(1, '$SYS/#'), subscribe(2, '$share/g/#'), subscribe(3, 'x'.repeat(1_025)));
    await client.until('900300018090030002809003000380');
    const many = await raw().connect('many');
    for (let i = 1; i <= 101; i++) many.send(subscribe(i, `f/${i}`));
    // A refusal may overtake the answers before it; each carries its packet id.
    const answers = Array.from({ length: 101 }, (_, i) => `9003${u16(i + 1).toString('hex')}${i === 100 ? '80' : '00'}`);
    await eventually(() => (many.received.match(/.{10}/g) ?? []).sort()).toEqual(answers.sort());
  });

  it('one that never reads is closed, and nobody waits for it', async () => {
    const { raw, listener } = await openListener();
    const frozen = await raw().connect('frozen');
    frozen.send(packet(0x82, u16(1), text('t/#'), Buffer.from([0])));
    await frozen.until('9003000100');
    frozen.socket.pause();
    const device = await mqttJs(listener.port);
    for (let i = 0; i < 200 && listener.counters().refusedPackets === 0; i++)
      await Promise.all(Array.from({ length: 4 }, () => device.publishAsync('t/d', Buffer.alloc(60_000), { qos: 1 })));
    expect(listener.counters().refusedPackets).toBe(1);
    await device.publishAsync('t/d', 'still here', { qos: 1 });
  });
});

describe('connections', () => {
  it.each<[string, Buffer[], string]>([
    ['no CONNECT first', [PINGREQ], ''],
    ['another protocol', [connectPacket('x', { protocol: 'HTTP' })], ''],
    ['MQTT 5', [connectPacket('x', { level: 5 })], '2003008400'],
    ['MQTT 2', [connectPacket('x', { level: 2 })], '20020001'],
    ['an empty client id that wants a session', [connectPacket('', { flags: 0 })], '20020002'],
    ['a client id of 1025 bytes', [connectPacket('x'.repeat(1_025))], '20020002'],
    ['a client id that is not UTF-8', [connectPacket(Buffer.from([0xff]))], ''],
    ['a client id with a NUL', [connectPacket('a\0b')], ''],
    ['the reserved CONNECT flag', [connectPacket('x', { flags: 3 })], ''],
    ['a will QoS without a will', [connectPacket('x', { flags: 2 | 8 })], ''],
    ['a will of QoS 3', [connectPacket('x', { flags: 2 | 4 | 24, rest: [text('a'), text('b')] })], ''],
    ['a will to $SYS/', [connectPacket('x', { flags: 2 | 4, rest: [text('$SYS/x'), text('b')] })], ''],
    ['a will to a wildcard', [connectPacket('x', { flags: 2 | 4, rest: [text('a/#'), text('b')] })], ''],
    ['a password without a user', [connectPacket('x', { flags: 2 | 64, rest: [text('p')] })], ''],
    ['bytes after the payload of CONNECT', [connectPacket('x', { rest: [text('more')] })], ''],
    ['a CONNECT that ends early', [packet(0x10, text('MQTT'), Buffer.from([4, 2]))], ''],
    ['a second CONNECT', [connectPacket('x'), connectPacket('x')], CONNACK],
    ['packet id 0', [connectPacket('x'), publishPacket('t/d', 'x', 1, 0)], CONNACK],
    ['packet id 0 in SUBSCRIBE', [connectPacket('x'), packet(0x82, u16(0), text('a'), Buffer.from([0]))], CONNACK],
    ['QoS 3', [connectPacket('x'), publishPacket('t/d', 'x', 3, 1)], CONNACK],
    ['DUP at QoS 0', [connectPacket('x'), publishPacket('t/d', 'x', 0, 1, 8)], CONNACK],
    ['an empty topic', [connectPacket('x'), publishPacket('', 'x')], CONNACK],
    ['a wildcard topic', [connectPacket('x'), publishPacket('t/+', 'x')], CONNACK],
    ['a topic that is not UTF-8', [connectPacket('x'), publishPacket(Buffer.from([0x74, 0x2f, 0xc0, 0xaf]), 'x')], CONNACK],
    ['a topic with a NUL', [connectPacket('x'), publishPacket('t/\0', 'x')], CONNACK],
    ['a publish to $SYS/', [connectPacket('x'), publishPacket('$SYS/x', 'x')], CONNACK],
    ['a topic of 33 levels', [connectPacket('x'), publishPacket(Array(33).fill('t').join('/'), 'x')], CONNACK],
    ['a topic longer than its packet', [connectPacket('x'), packet(0x32, u16(50), Buffer.from('t/d'))], CONNACK],
    ['a PUBLISH without a body', [connectPacket('x'), packet(0x30)], CONNACK],
    ['reserved flags', [connectPacket('x'), packet(0x81, u16(1), text('a'), Buffer.from([0]))], CONNACK],
    ['a packet only servers send', [connectPacket('x'), packet(0x20, u16(0))], CONNACK],
    ['packet type 0', [connectPacket('x'), packet(0x00)], CONNACK],
    ['packet type 15', [connectPacket('x'), packet(0xf0)], CONNACK],
    ['a length of five bytes', [connectPacket('x'), Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff])], CONNACK],
    ['a PUBREL of three bytes', [connectPacket('x'), packet(0x62, Buffer.from([0, 1, 2]))], CONNACK],
    ['a PINGREQ with a body', [connectPacket('x'), packet(0xc0, Buffer.from([0]))], CONNACK],
    ['a DISCONNECT with a body', [connectPacket('x'), packet(0xe0, Buffer.from([0]))], CONNACK],
    ['a SUBSCRIBE without filters', [connectPacket('x'), packet(0x82, u16(1))], CONNACK],
    ['a SUBSCRIBE with QoS 3', [connectPacket('x'), packet(0x82, u16(1), text('a'), Buffer.from([3]))], CONNACK],
    ['a filter a/#/b', [connectPacket('x'), packet(0x82, u16(1), text('a/#/b'), Buffer.from([0]))], CONNACK],
    ['a filter a+', [connectPacket('x'), packet(0x82, u16(1), text('a+'), Buffer.from([0]))], CONNACK],
  ])('%s is closed at once, and counted', async (_, bytes, answer) => {
    const { raw, listener } = await openListener();
    const client = raw();
    for (const one of bytes) {
      client.send(one);
      if (one !== bytes.at(-1)) await client.until(CONNACK);
    }
    expect(await client.closed).toBe(answer);
    const { refusedPackets, rejectedConnections, received } = listener.counters();
    expect([refusedPackets + rejectedConnections, received]).toEqual([1, 0]);
    await raw().connect('next');
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
    '%s is a name like any other, everywhere (GHSA-52qw-whmv-87c5)',
    async (name) => {
      const { raw, stored } = await openListener();
      const client = await raw().connect(name, { flags: 2 | 128 | 64, rest: [text(name), text(name)] });
      const filter = packet(0x82, u16(1), text(name), Buffer.from([0]));
      client.send(
        filter,
        packet(0xa2, u16(2), text(name)),
        packet(0xa2, u16(3), text('valueOf')),
        publishPacket(`t/${name}/${name}`, name, 1, 4),
      );
      await eventually(() => ['9003000100', 'b0020002', 'b0020003', PUBACK(4)].every((p) => client.received.includes(p))).toBe(true);
      expect((await stored()).map((r) => [String(r.key), String(r.value)])).toEqual([[name, name]]);
      const successor = await raw().connect(name);
      await client.closed;
      successor.send(PINGREQ);
      await successor.until(PINGRESP);
    },
  );

  it('a packet above the limit is closed by its header, before its body comes', async () => {
    const { raw, listener } = await openListener({ packetBytesMax: 1_000 });
    const fits = await raw().connect('fits');
    fits.send(publishPacket('t/d', Buffer.alloc(1_000 - 7), 1, 1));
    await fits.until(PUBACK(1));
    const oversize = await raw().connect('oversize');
    oversize.send(Buffer.from([0x32]), remainingLength(1_001));
    expect(await oversize.closed).toBe('');
    const first = raw();
    first.send(Buffer.from([0x10]), remainingLength(268_435_455));
    expect(await first.closed).toBe('');
    expect(listener.counters().refusedPackets).toBe(2);
  });

  it('two hundred clients that announce 256 KiB and send little cost little', async () => {
    const { raw, listener } = await openListener();
    const clients = await Promise.all(Array.from({ length: 200 }, (_, i) => raw().connect(`slow${i}`)));
    const before = process.memoryUsage();
    for (const client of clients) client.send(Buffer.from([0x32]), remainingLength(262_144), Buffer.alloc(100));
    const witness = await raw().connect('witness');
    witness.send(publishPacket('t/d', 'x'));
    await witness.until(PUBACK(1));
    const after = process.memoryUsage();
    expect(after.arrayBuffers + after.external - before.arrayBuffers - before.external).toBeLessThan(200 * 30_000);
    expect(listener.counters().clients).toBe(201);
  });

  it('takes a packet byte by byte', async () => {
    const { raw, stored } = await openListener();
    const client = raw();
    const bytes = Buffer.concat([connectPacket('slow'), publishPacket('t/d', Buffer.alloc(300, 0x62), 1, 5), PINGREQ]);
    for (const byte of bytes) {
      client.socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => client.received).toContain(PUBACK(5));
    expect((await stored())[0]?.value?.length).toBe(300);
  });

  it('takes everything that comes with the CONNECT in one piece', async () => {
    const { raw, stored } = await openListener();
    const ids = Array.from({ length: 300 }, (_, i) => i + 1);
    const client = raw().send(connectPacket('eager'), ...ids.map((id) => publishPacket('t/d', String(id), 1, id)));
    await client.until(CONNACK + ids.map(PUBACK).join(''));
    expect((await stored()).map((r) => Number(r.value))).toEqual(ids);
  });

  it('what a client sent before it went away is stored', async () => {
    const { gate, open, waiting } = heldGate();
    const { raw, stored, listener } = await openListener({ gate });
    const first = await raw().connect('first');
    first.send(publishPacket('t/d', '0', 0));
    await waiting;
    const client = await raw().connect('brief');
    client.send(...Array.from({ length: 50 }, (_, i) => publishPacket('t/d', String(i), 0)));
    client.socket.end();
    await eventually(() => listener.counters().clients).toBe(1);
    open();
    await eventually(async () => (await stored()).length).toBe(51);
  });

  it('a client id that comes again takes over', async () => {
    const { raw, listener } = await openListener();
    let last = await raw().connect('same');
    for (let i = 0; i < 50; i++) {
      const next = await raw().connect('same');
      await last.closed;
      last = next;
    }
    last.send(publishPacket('t/d', 'x'));
    await last.until(PUBACK(1));
    expect(listener.counters().clients).toBe(1);
  });

  it('a client without CONNECT, and one silent for one and a half keep alives, are closed', async () => {
    let nowMs = 0;
    const { raw, listener } = await openListener({ monotonicMs: () => nowMs });
    const mute = raw();
    const silent = await raw().connect('silent', { keepaliveS: 4 });
    const patient = await raw().connect('patient', { keepaliveS: 0 });
    const will = await raw().connect('will', { keepaliveS: 8 });
    nowMs = 6_000;
    will.send(PINGREQ);
    await will.until(PINGRESP);
    nowMs = 10_001;
    await Promise.all([mute.closed, silent.closed]);
    will.send(PINGREQ);
    patient.send(PINGREQ);
    await Promise.all([will.until(PINGRESP + PINGRESP), patient.until(PINGRESP)]);
    expect(listener.counters()).toMatchObject({ clients: 2, rejectedConnections: 1 });
  });

  it('a client that reads nothing of what we answer gives its place back', async () => {
    let nowMs = 0;
    const { raw, listener } = await openListener({ monotonicMs: () => nowMs, connectionsMax: 1, packetBytesMax: 900_000 });
    const frozen = await raw().connect('frozen');
    frozen.socket.pause();
    const pings = Buffer.concat(Array.from({ length: 100_000 }, () => PINGREQ));
    // Its kernel and ours take some megabytes of answers before nothing goes any more.
    for (let i = 0; i < 100; i++) frozen.socket.write(pings);
    expect(await raw().closed).toBe('');
    // Every look is another ten seconds, so that it has been frozen for a minute as soon as it is.
    await eventually(() => {
      nowMs += 10_000;
      return listener.counters().clients;
    }).toBe(0);
    await eventually(async () => {
      nowMs += 10_000;
      const next = raw().send(connectPacket('next'));
      return (await Promise.race([next.closed, next.until(CONNACK).then(() => 'in')])) === 'in';
    }).toBe(true);
    expect(listener.counters().refusedPackets).toBe(1);
  });

  it('lets in no more than connectionsMax', async () => {
    const { raw, listener, warnings } = await openListener({ connectionsMax: 2 });
    const [a] = [await raw().connect('a'), await raw().connect('b')];
    expect(await raw().closed).toBe('');
    expect(listener.counters()).toMatchObject({ clients: 2, rejectedConnections: 1 });
    expect(warnings).toEqual(["a client was not let in: 'more than 2 connections' (said once; counted)"]);
    a.close();
    await eventually(() => listener.counters().clients).toBe(1);
    await raw().connect('c');
  });
});

describe('drained', () => {
  it('is now while everything received is in the log, and not while something waits', async () => {
    const { gate, open, waiting } = heldGate();
    const { raw, listener, stored } = await openListener({ gate });
    const { status } = listener;
    expect(status.drainedAtMs('a topic of others')).toBe(Infinity);
    const at = performance.now();
    await eventually(() => status.drainedAtMs('raw')).toBeGreaterThan(at);
    const client = await raw().connect();
    client.send(publishPacket('t/d', 'x', 0));
    await waiting;
    expect(status.drainedAtMs('raw')).toBeUndefined();
    const other = performance.now();
    await eventually(() => status.drainedAtMs('other')).toBeGreaterThan(other);
    const opened = performance.now();
    open();
    await eventually(async () => (await stored()).length).toBe(1);
    await eventually(() => status.drainedAtMs('raw')).toBeGreaterThan(opened);
  });

  it('is not now while the process was too busy to read its sockets', async () => {
    const { raw, listener } = await openListener();
    const client = await raw().connect();
    await eventually(() => listener.status.drainedAtMs('raw')).toBeDefined();
    client.send(publishPacket('t/d', 'x'));
    const busyFrom = performance.now();
    while (performance.now() < busyFrom + 200);
    expect(listener.status.drainedAtMs('raw')).toBeLessThanOrEqual(busyFrom);
    await client.until(PUBACK(1));
  });
});

describe('start and close', () => {
  it('finishes and acknowledges what was received, then closes', async () => {
    const { gate, open, waiting } = heldGate();
    const { raw, listener, stored } = await openListener({ gate });
    const client = await raw().connect();
    client.send(publishPacket('t/d', '1', 1, 1));
    await waiting;
    client.send(publishPacket('t/d', '2', 1, 2), PINGREQ);
    await client.until(PINGRESP);
    const closed = listener.close();
    open();
    await closed;
    expect(await client.closed).toBe(PINGRESP + PUBACK(1) + PUBACK(2));
    expect(await stored()).toHaveLength(2);
    expect(listener.close()).toBe(listener.close());
  });

  it('a port that is taken is an error, or with portFallback another port', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as { port: number };
    await expect(openListener({ port })).rejects.toThrow(`E_CONFIG: MQTT listener: port ${port} on 127.0.0.1 is taken by another program`);
    const { listener } = await openListener({ port, portFallback: true });
    expect(listener.port).not.toBe(port);
    expect(listener.port).toBeGreaterThan(0);
  });

  it.each(['0.0.0.0', '::', '192.0.2.1', 'example.org', '127.evil.example'])('host %s without users is E_MQTT_AUTH', async (host) => {
    await expect(openListener({ host })).rejects.toThrow(`E_MQTT_AUTH: MQTT host '${host}' can be reached from other machines`);
  });

  it.each([
    [{ packetBytesMax: 900_001 }, 'packetBytesMax must be a whole number from 128 to 900000, got 900001'],
    [{ packetBytesMax: Number.NaN }, 'packetBytesMax must be'],
    [{ port: 70_000 }, 'port must be a whole number from 0 to 65535'],
    [{ skewMs: -1 }, 'skewMs must be 0 or more'],
  ])('refuses %j', async (options, says) => {
    await expect(openListener(options)).rejects.toThrow(says);
  });

  it('names a routed topic that the log does not hold', async () => {
    const log = await gatedLog([]);
    await expect(startListener({ log, routes: routedTopics, port: 0, onFatal: () => {} })).rejects.toThrow("E_UNKNOWN_TOPIC: topic 'raw'");
  });
});

describe('a foreign client', () => {
  it.skipIf(mosquitto.skip)('mosquitto_pub publishes at every QoS', async () => {
    const { listener, stored } = await openListener();
    const { spawn } = await import('node:child_process');
    for (const qos of ['0', '1', '2']) {
      const child = spawn('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(listener.port), '-t', `t/m${qos}`, '-m', 'hello', '-q', qos]);
      expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0);
    }
    await eventually(async () => (await stored()).map((r) => String(r.key)).sort()).toEqual(['m0', 'm1', 'm2']);
  });
});
