// Pipeline and config files as users write them, loaded by a real process: what works, and what a mistake is told.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { call, TINY_PIPELINE, temporaryFolder } from './cliProcess.ts';

const TINY = `
import { duckdb, filter, json, pipeline, stream, topic } from 'millrace';
const any = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };
export const tiny = pipeline('tiny', [stream(topic('tiny.in', json(any))).pipe(filter(() => true)).to(duckdb('t'))]);
`;

const folder = temporaryFolder({
  'typed.ts': TINY_PIPELINE,
  'plain.js': `${TINY}export default tiny;`,
  'plain.mjs': `${TINY}export default tiny;`,
  'split.ts': "import { tiny } from './plain'; export default tiny;",
  'syntax.ts': "import { pipeline } from 'millrace';\nconst x = {;\nexport default x;",
  'throws.ts':
    "import { pipeline } from 'millrace';\nfunction broken(): never {\n  throw new TypeError('boom\\nboom');\n}\nbroken();\nexport default pipeline;",
  'ours.ts': "import { topic } from 'millrace';\n\nexport default topic('a b', null as never);",
  'missing.ts': "import { z } from 'zod-of-nowhere';\nexport default z;",
  'missing-file.ts': "import { z } from './nowhere.ts';\nexport default z;",
  'no-such-export.ts': "import { nope } from 'millrace';\nexport default nope;",
  'no-default.ts': 'export const p = 1;',
  'object.ts': 'export default { a: 1 };',
  'stream.ts': "import { bytes, stream, topic } from 'millrace';\nexport default stream(topic('a', bytes));",
});
afterAll(() => folder.remove());
const describeFile = (file: string, cwd = folder.dir) => call(['describe', file, '--format', 'json'], { cwd });

describe('a pipeline file', () => {
  it.each(['./typed.ts', './plain.js', './plain.mjs', './split.ts', 'plain.js'])('%s is read, with no node_modules near', async (file) => {
    const { code, stdout, stderr } = await describeFile(file);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toBeTypeOf('object');
  });

  it.each<[string, string, RegExp]>([
    ['syntax.ts', 'E_PIPELINE', /syntax\.ts:2:11: syntax error: Expected identifier/],
    ['throws.ts', 'E_PIPELINE', /throws\.ts:3:9: the file threw while it was read: TypeError: boom boom\n/],
    ['ours.ts', 'E_CONFIG', /ours\.ts:3:16: topic name 'a b'/],
    ['missing.ts', 'E_PIPELINE', /cannot find zod-of-nowhere, imported by .*missing\.ts; npm install zod-of-nowhere/],
    ['missing-file.ts', 'E_PIPELINE', /cannot find .*nowhere\.ts, imported by .*missing-file\.ts\n/],
    ['no-such-export.ts', 'E_PIPELINE', /no-such-export\.ts:1: .*does not provide an export named 'nope'/],
    ['no-default.ts', 'E_PIPELINE', /no-default\.ts: the default export must be a pipeline, found none/],
    ['object.ts', 'E_PIPELINE', /found an object with a;/],
    ['stream.ts', 'E_PIPELINE', /found a stream;/],
  ])('%s is told what is wrong', async (file, code, message) => {
    const finished = await describeFile(`./${file}`);
    expect(finished).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(new RegExp(`^error ${code}: `)) });
    expect(finished.stderr).toMatch(message);
    expect(finished.stderr).not.toMatch(/\n\s+at /);
  });

  it('that is not there is wrong use', async () => {
    expect(await describeFile('./none.ts')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/E_USAGE: there is no file .*none\.ts/),
    });
  });

  it('is found by its name under pipelines/, and a wrong name is told the nearest', async () => {
    mkdirSync(join(folder.dir, 'pipelines', 'tiny-line'), { recursive: true });
    folder.write('pipelines/tiny-line/pipeline.ts', `${TINY.replaceAll("'tiny'", "'tiny-line'")}export default tiny;`);
    expect((await describeFile('tiny-line')).code).toBe(0);
    const wrong = await describeFile('tiny-lin');
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringMatching(/there is no pipeline 'tiny-lin'; did you mean tiny-line\?/) });
    expect(await call(['run'], { cwd: folder.dir })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/needs a pipeline: a name \(there are .*tiny-line/),
    });
  });
});

describe('a config file', () => {
  it('is read in TypeScript, and its mistakes are wrong use', async () => {
    const config = temporaryFolder({ 'millrace.config.ts': 'const port: number = 9000;\nexport default { httpPort: port, dta: 1 };' });
    try {
      expect(await call(['topics'], { cwd: config.dir })).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/E_CONFIG: .*millrace\.config\.ts: the key 'dta' is not known; did you mean data\?/),
      });
      config.write('millrace.config.ts', "export default { data: './elsewhere' };");
      expect(await call(['topics'], { cwd: config.dir })).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/E_NOT_RUNNING: .*elsewhere/),
      });
      expect(await call(['topics'], { cwd: config.dir, env: { MILLRACE_DATA: 'third' } })).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/third/),
      });
      config.write('millrace.config.ts', 'export default {');
      expect(await call(['topics'], { cwd: config.dir })).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/E_CONFIG: .*millrace\.config\.ts:1:\d+: syntax error/),
      });
    } finally {
      config.remove();
    }
  });
});

describe('the command line', () => {
  it('shows help and version, and what is wrong, with the right exit code', async () => {
    const at = { cwd: folder.dir };
    expect(await call(['--version'], at)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    expect(await call(['--help'], at)).toMatchObject({ code: 0, stdout: expect.stringContaining('millrace run [PIPELINE…]') });
    expect(await call(['read', '--help'], at)).toMatchObject({ code: 0, stdout: expect.stringContaining('--follow') });
    expect(await call([], at)).toMatchObject({ code: 2 });
    expect(await call(['raed', 'x'], at)).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/^error E_USAGE: .*did you mean millrace read\?\nfix: .*\n$/),
    });
    expect(await call(['topics'], { ...at, env: { MILLRACE_HTPP_PORT: '1' } })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/did you mean MILLRACE_HTTP_PORT\?/),
    });
  });
});
