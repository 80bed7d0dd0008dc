// The users file, and what a storm of reconnects costs.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { hashPassword, parsePasswordHash } from '../../ingest/password.ts';
import { readUsers } from '../../ingest/users.ts';

const scrypts = vi.hoisted(() => ({ count: 0 }));
vi.mock('node:crypto', async (original) => {
  const real = await original<typeof import('node:crypto')>();
  const scrypt = (...args: Parameters<typeof real.scrypt>) => {
    scrypts.count++;
    real.scrypt(...args);
  };
  return { ...real, scrypt };
});

const folder = mkdtempSync(join(tmpdir(), 'millrace-users-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function usersFile(text: string, mode = 0o600): string {
  const path = join(folder, `users-${files++}`);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const ada = await hashPassword('engine');
const same = await hashPassword('engine');

describe('hashPassword', () => {
  it('salts: the same password never hashes alike', () => {
    expect(ada).not.toBe(same);
    expect(ada).toMatch(/^scrypt\$32768\$8\$3\$[^$]+\$[^$]+$/);
  });

  it('refuses an empty password', async () => {
    await expect(hashPassword('')).rejects.toThrow('E_CONFIG: a password must have 1 to 65535 bytes, got 0');
  });

  it.each([
    '',
    'plain',
    'scrypt$3$8$1$AAAAAAAAAAA=$AAAA',
    'scrypt$1048576$8$1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAA',
    `${ada}$`,
    ada.replace('32768', '32767'),
  ])('does not take %j for a hash', (text) => {
    expect(parsePasswordHash(text)).toBeUndefined();
  });
});

describe('readUsers', () => {
  it('knows who has which password', async () => {
    const users = await readUsers(usersFile(`# city\n\nada:${ada}\r\n__proto__:${same}\nwith space:${same}\n`));
    expect(users.count).toBe(3);
    const check = (user: string | undefined, password: string | undefined) =>
      users.check(user, password === undefined ? undefined : Buffer.from(password));
    for (let round = 0; round < 2; round++) {
      expect(await check('ada', 'engine')).toBe(true);
      expect(await check('__proto__', 'engine')).toBe(true);
      expect(await check('ada', 'Engine')).toBe(false);
      expect(await check('ada', '')).toBe(false);
      expect(await check('bob', 'engine')).toBe(false);
      expect(await check('constructor', 'engine')).toBe(false);
      expect(await check('', '')).toBe(false);
      expect(await check(undefined, 'engine')).toBe(false);
      expect(await check('ada', undefined)).toBe(false);
    }
  });

  it('a storm of reconnects costs one scrypt a user, right or wrong', async () => {
    const users = await readUsers(usersFile(`ada:${ada}`));
    const storm = async (user: string, password: string) => {
      const before = scrypts.count;
      const answers = await Promise.all(Array.from({ length: 500 }, () => users.check(user, Buffer.from(password))));
      await users.check(user, Buffer.from(password));
      return { answers: [...new Set(answers)], scrypts: scrypts.count - before };
    };
    expect(await storm('ada', 'engine')).toEqual({ answers: [true], scrypts: 1 });
    expect(await storm('ada', 'guess')).toEqual({ answers: [false], scrypts: 1 });
    expect(await storm('bob', 'engine')).toEqual({ answers: [false], scrypts: 1 });
    expect(await storm('ada', 'engine')).toEqual({ answers: [true], scrypts: 0 });
  });

  it.skipIf(process.platform === 'win32' || process.getuid?.() === undefined)('refuses a file that everybody may read', async () => {
    await expect(readUsers(usersFile(`ada:${ada}`, 0o644))).rejects.toThrow(
      /^E_CONFIG: users file .*: everybody on this machine may open it; chmod 600 it$/,
    );
  });

  it.each([
    ['a line without a colon', `ada:${ada}\nbob`, 'line 2: write user:hash'],
    ['no user', `:${ada}`, 'line 1: write user:hash'],
    ['a plain password', 'ada:engine', "line 1: the part after 'ada:' is not a hash made by hashPassword"],
    ['a user twice', `ada:${ada}\nada:${same}`, "line 2: user 'ada' is there twice"],
    ['nobody', '# nobody\n', 'it names nobody'],
  ])('refuses %s', async (_, text, says) => {
    await expect(readUsers(usersFile(text))).rejects.toThrow(says);
    await expect(readUsers(usersFile(text))).rejects.toThrow(/^E_CONFIG: users file /);
  });

  it('never shows a password in what it says', async () => {
    await expect(readUsers(usersFile('ada:hunter2'))).rejects.not.toThrow('hunter2');
  });

  it('names the file that is not there', async () => {
    await expect(readUsers(join(folder, 'nowhere'))).rejects.toThrow(/^E_CONFIG: users file .*nowhere: ENOENT/);
  });
});
