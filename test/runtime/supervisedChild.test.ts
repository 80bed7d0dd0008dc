// One child under supervision: restarts, hangs, final errors, stopping, and its end when the parent dies.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ERRORS, MillraceError } from '../../engine/errors.ts';
import type { FromChild } from '../../runtime/messages.ts';
import { type SupervisedChild, superviseChild } from '../../runtime/supervisedChild.ts';
import type { ToldSettings } from './children/told.ts';
import { temporaryFolder } from './cliProcess.ts';

let folder: ReturnType<typeof temporaryFolder>;
let child: SupervisedChild | undefined;
beforeEach(() => {
  folder = temporaryFolder({ diary: '' });
});
afterEach(() => {
  child?.kill();
  child = undefined;
  delete process.env.MILLRACE_KILL_AT;
  folder.remove();
});

const diaryPath = (): string => join(folder.dir, 'diary');
const diary = (): string[] => readFileSync(diaryPath(), 'utf8').trim().split('\n');

/** Supervises a child that does `acts` one start after the other, and gives what was heard. */
function supervise(acts: readonly ToldSettings['act'][], options: { stuckMs?: number; falseStartsMax?: number } = {}) {
  const told: string[] = [];
  let starts = 0;
  let onReady = (): void => {};
  let onFailed: (error: Error) => void = () => {};
  const events = {
    told,
    ready: () => new Promise<void>((resolve) => (onReady = resolve)),
    failed: new Promise<Error>((resolve) => (onFailed = resolve)),
  };
  child = superviseChild<ToldSettings>({
    role: 'line',
    module: 'test/runtime/children/told',
    stuckMs: options.stuckMs ?? 10_000,
    falseStartsMax: options.falseStartsMax ?? 3,
    settings() {
      const act = acts[Math.min(starts++, acts.length - 1)];
      return act === undefined ? { diary: diaryPath() } : { diary: diaryPath(), act };
    },
    hear: (message: FromChild) => message.kind === 'ready' && onReady(),
    isFinal: (code) => ERRORS[code].disposition === 'stop',
    failed: (error) => onFailed(error),
    tell: (line) => told.push(line),
  });
  child.start();
  return events;
}

describe('a supervised child', () => {
  it('starts, says it is ready, and stops by itself', async () => {
    await supervise([undefined]).ready();
    expect(await child?.stop()).toBe(true);
    expect(diary().map((line) => line.split(' ')[1])).toEqual(['start', 'stop']);
  });

  it('is started again after a crash, with the reason told', async () => {
    const events = supervise(['exit', 'throw', undefined]);
    await events.ready();
    expect(child?.restarts).toBe(2);
    expect(events.told.join('\n')).toMatch(/the line is gone: it ended with 3; starting it again in 250 ms[^]*no good[^]*in 500 ms/);
  });

  it('is started again after kill -9 and after an error while running', async () => {
    const events = supervise([undefined, 'throw later', undefined]);
    await events.ready();
    const again = events.ready();
    process.kill(child?.pid as number, 'SIGKILL');
    await again;
    await events.ready();
    expect(events.told.join('\n')).toMatch(/killed by SIGKILL[^]*later/);
  });

  it('is killed when it hangs, and started again', async () => {
    const events = supervise(['hang', undefined], { stuckMs: 1_500 });
    await events.ready();
    await events.ready();
    expect(events.told.join('\n')).toMatch(/has not answered for 2 s; killing it[^]*killed by SIGKILL/);
  });

  it('ends the run with an error that is final, keeping its code', async () => {
    const error = await supervise(['config error']).failed;
    expect(error).toBeInstanceOf(MillraceError);
    expect(error.message).toBe('E_STATE_SHAPE: the step changed');
    expect(child?.restarts).toBe(0);
  });

  it('ends the run when it never gets ready', async () => {
    const error = await supervise(['throw'], { falseStartsMax: 2 }).failed;
    expect(error.message).toMatch(/the line did not start: Error: no good/);
    expect(diary()).toHaveLength(2);
  });

  it('gets a kill point at its first start only', async () => {
    process.env.MILLRACE_KILL_AT = 'at-cut';
    await supervise(['exit', undefined]).ready();
    expect(diary().map((line) => line.split(' ').at(-1))).toEqual(['at-cut', '-']);
  });

  it('is killed when it does not stop in time', async () => {
    await supervise(['refuse to stop']).ready();
    expect(await child?.stop()).toBe(false);
  });

  it('stops by itself when its supervisor is killed', async () => {
    const parent = spawn(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), fileURLToPath(new URL('./children/parent.ts', import.meta.url)), diaryPath()],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [line] = (await once(parent.stdout.setEncoding('utf8'), 'data')) as [string];
    const pid = Number(line);
    const stopped = new Promise<void>((resolve) => {
      const watcher = watch(diaryPath(), () => {
        if (!diary().at(-1)?.endsWith('stop')) return;
        watcher.close();
        resolve();
      });
    });
    parent.kill('SIGKILL');
    await stopped;
    expect(diary().at(-1)).toBe(`${pid} stop`);
    await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
