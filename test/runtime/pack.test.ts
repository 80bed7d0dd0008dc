// The package as users get it: npm pack, npm install into an empty folder, npx millrace there.
import { execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TINY_PIPELINE, temporaryFolder } from './cliProcess.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MILLRACE_') && !name.startsWith('npm_')));
const execute = (file: string, args: readonly string[], cwd: string) =>
  promisify(execFile)(file, [...args], { cwd, env: clean, maxBuffer: 64 << 20 });

const folder = temporaryFolder({
  'package.json': '{ "name": "a-line", "private": true }',
  'mine.ts': TINY_PIPELINE,
  'embed.mjs': `
    import { drive } from 'millrace/testing';
    import { startMillrace } from 'millrace/runtime';
    const millrace = await startMillrace({ pipelines: ['./mine.ts'], data: 'embedded', mqttPort: 0, httpPort: 0, tell: () => {} });
    console.log(JSON.stringify({ drive: typeof drive, pipelines: millrace.info.pipelines }));
    await millrace.stop();
    await millrace.ended;
  `,
});
/** Why the package could not be installed here, when that is not its own fault. */
let unreachable: string | undefined;

beforeAll(async () => {
  // `npm test` has built dist/ already; building again would pull it from under other tests.
  if (!existsSync(join(root, 'dist', 'runtime', 'cli.js'))) await execute('npm', ['run', 'build'], root);
  const { stdout } = await execute('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder.dir], root);
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as [{ filename: string }];
  try {
    await execute('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', `./${packed.filename}`], folder.dir);
  } catch (error) {
    const why = /\b(ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ERR_SOCKET_TIMEOUT|ENOTCACHED)\b.*/.exec(
      (error as { stderr?: string }).stderr ?? '',
    );
    if (why === null || process.env.MILLRACE_REQUIRE_REAL === '1') throw error;
    unreachable = why[0];
  }
}, 300_000);
afterAll(() => folder.remove());

describe('the packed package', { timeout: 120_000 }, () => {
  it('holds what it runs with, and no tests', async ({ skip }) => {
    if (unreachable !== undefined) skip(`the registry cannot be reached: ${unreachable}`);
    const own = join(folder.dir, 'node_modules', 'millrace');
    expect(readdirSync(own).toSorted()).toEqual(
      expect.arrayContaining(['LICENSE', 'NOTICE', 'README.md', 'dist', 'docs', 'package.json', 'pipelines']),
    );
    expect(readdirSync(join(own, 'dist'))).not.toContain('test');
    expect(readdirSync(join(own, 'pipelines', 'smart-city'))).toContain('pipeline.ts');
  });

  it('runs a pipeline file that imports millrace', async ({ skip }) => {
    if (unreachable !== undefined) skip(`the registry cannot be reached: ${unreachable}`);
    // A process group of its own, so that Ctrl-C reaches npx and what it started, as in a terminal.
    const run = spawn('npx', ['millrace', 'run', './mine.ts', '--mqtt-port', '0', '--http-port', '0'], {
      cwd: folder.dir,
      env: clean,
      detached: true,
    });
    const ended = new Promise<number | null>((resolve) => run.once('close', resolve));
    let text = '';
    await new Promise<void>((resolve, reject) => {
      run.stdout.on('data', (chunk) => String(chunk).includes('millrace ready ') && resolve());
      run.stderr.on('data', (chunk) => (text += String(chunk)));
      void ended.then((code) => reject(new Error(`it ended with ${code}: ${text}`)));
    });
    try {
      await execute('npx', ['millrace', 'publish', 'tiny/d1', '{"at":1700000000000,"n":2}'], folder.dir);
      const query = async () =>
        (await execute('npx', ['millrace', 'query', 'SELECT key, twice FROM even', '--format', 'csv'], folder.dir)).stdout;
      await expect.poll(query, { timeout: 15_000 }).toBe('key,twice\r\nd1,4\r\n');
    } finally {
      process.kill(-(run.pid as number), 'SIGINT');
    }
    // npx reports the signal as its own end; millrace itself has stopped cleanly: nothing runs on the folder any more.
    await ended;
    expect(text).toContain('stopping');
    expect(existsSync(join(folder.dir, '.millrace', 'ports.json'))).toBe(false);
  });

  it('can be embedded, and used in tests', async ({ skip }) => {
    if (unreachable !== undefined) skip(`the registry cannot be reached: ${unreachable}`);
    const { stdout } = await execute(process.execPath, ['embed.mjs'], folder.dir);
    expect(JSON.parse(stdout)).toEqual({ drive: 'function', pipelines: ['tiny'] });
  });

  it('has types that a pipeline file compiles with', async ({ skip }) => {
    if (unreachable !== undefined) skip(`the registry cannot be reached: ${unreachable}`);
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const args = [tsc, '--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2023', 'mine.ts'];
    await expect(execute(process.execPath, args, folder.dir)).resolves.toMatchObject({ stdout: '' });
  });
});
