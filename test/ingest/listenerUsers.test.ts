// Who is let in, and what a wrong password gets.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqttClient from 'mqtt';
import { afterAll, describe, expect, it } from 'vitest';
import { hashPassword } from '../../ingest/password.ts';
import { eventually, openListener } from './openListener.ts';
import { CONNACK, connectPacket, PUBACK, publishPacket, text } from './rawClient.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-users-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const usersFile = join(folder, 'users');
writeFileSync(usersFile, `ada:${await hashPassword('engine')}\n`);
chmodSync(usersFile, 0o600);

const WRONG = '20020004';
const named = (user: string, password: string) => ({ flags: 2 | 128 | 64, rest: [text(user), text(password)] });

describe('a listener with users', () => {
  it('lets in who is in the file, and answers 4 to everybody else', async () => {
    const { raw, listener, stored } = await openListener({ usersFile });
    const ada = await raw().connect('a', named('ada', 'engine'));
    ada.send(publishPacket('t/d', 'x'));
    await ada.until(PUBACK(1));
    for (const connect of [
      connectPacket('b'),
      connectPacket('b', named('ada', 'wrong')),
      connectPacket('b', named('__proto__', 'x')),
      connectPacket('b', { flags: 2 | 128, rest: [text('ada')] }),
    ])
      expect(await raw().send(connect).closed).toBe(WRONG);
    expect(await stored()).toHaveLength(1);
    expect(listener.counters()).toMatchObject({ clients: 1, rejectedConnections: 4 });
  });

  it('takes nothing that comes with a wrong password, and is not held up by it', async () => {
    const { raw, listener, stored, warnings } = await openListener({ usersFile, wrongPasswordMs: 60_000 });
    const wrong = raw().send(connectPacket('b', named('ada', 'wrong')), publishPacket('t/d', 'smuggled', 0));
    await eventually(() => listener.counters().rejectedConnections).toBe(1);
    wrong.send(publishPacket('t/d', 'smuggled', 1));
    const at = performance.now();
    await eventually(() => listener.status.drainedAtMs('raw')).toBeGreaterThan(at);
    expect(wrong.received).toBe('');
    expect(await stored()).toEqual([]);
    expect(warnings).toEqual(["a client was not let in: 'a wrong user name or password' (said once; counted)"]);
  });

  it('holds what comes with a right password until it is known to be right, and is not drained meanwhile', async () => {
    const { raw, listener, stored } = await openListener({ usersFile });
    await eventually(() => listener.status.drainedAtMs('raw')).toBeDefined();
    const client = raw().send(connectPacket('a', named('ada', 'engine')), publishPacket('t/d', 'x'));
    await client.until(CONNACK + PUBACK(1));
    expect(await stored()).toHaveLength(1);
  });

  it('may listen wider than this machine', async () => {
    const { listener } = await openListener({ usersFile, host: '0.0.0.0' });
    const client = await mqttClient.connectAsync(`mqtt://127.0.0.1:${listener.port}`, {
      username: 'ada',
      password: 'engine',
      reconnectPeriod: 0,
    });
    await client.publishAsync('t/d', 'x', { qos: 1 });
    await client.endAsync();
    const refused = mqttClient.connectAsync(`mqtt://127.0.0.1:${listener.port}`, { username: 'ada', password: 'x', reconnectPeriod: 0 });
    await expect(refused).rejects.toThrow('Bad username or password');
  });
});
