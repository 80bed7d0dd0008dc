// Flags, variables, config file and defaults: precedence, types, and what a mistake is told.
import { describe, expect, it } from 'vitest';
import { MillraceError } from '../../engine/errors.ts';
import { COMMANDS, flagOf, settingEntries, variableOf } from '../../runtime/config.ts';
import { commandHelp, generalHelp } from '../../runtime/help.ts';
import { nearest } from '../../runtime/nearest.ts';
import { parseCommandLine, resolveSettings } from '../../runtime/readSettings.ts';

const resolve = (argv: string[], env: Record<string, string> = {}, file?: unknown) =>
  resolveSettings(parseCommandLine(argv), env, file === undefined ? undefined : { path: 'millrace.config.ts', values: file });

const errorOf = (act: () => unknown): MillraceError => {
  try {
    act();
  } catch (error) {
    if (error instanceof MillraceError) return error;
    throw error;
  }
  throw new Error('it did not throw');
};

describe('precedence', () => {
  it('is flag, then variable, then file, then default', () => {
    const env = { MILLRACE_HTTP_PORT: '2' };
    const file = { httpPort: 3 };
    expect(resolve(['run', '--http-port', '1'], env, file).values.httpPort).toBe(1);
    expect(resolve(['run'], env, file).values.httpPort).toBe(2);
    expect(resolve(['run'], {}, file).values.httpPort).toBe(3);
    expect(resolve(['run']).values.httpPort).toBe(8080);
  });

  it('knows what somebody asked for, even when it is the default', () => {
    expect(resolve(['run', '--mqtt-port', '1883']).given.has('mqttPort')).toBe(true);
    expect(resolve(['run']).given.has('mqttPort')).toBe(false);
  });

  it('gives every setting one name in three spellings', () => {
    expect([flagOf('httpPort'), variableOf('httpPort')]).toEqual(['--http-port', 'MILLRACE_HTTP_PORT']);
    expect([flagOf('data'), variableOf('data')]).toEqual(['--data', 'MILLRACE_DATA']);
  });

  it('takes an empty variable for none', () => {
    expect(resolve(['run'], { MILLRACE_DATA: '' }).values.data).toBe('.millrace');
  });
});

describe('forms', () => {
  it.each([
    [['run', 'smart-city', './b.ts', '--until-end'], { untilEnd: true }, ['smart-city', './b.ts']],
    [['run', '--until-end=false', 'x'], { untilEnd: false }, ['x']],
    [['run', '--log-max-size', '16GiB', 'x'], { logMaxSize: 17_179_869_184 }, ['x']],
    [['run', '--log-max-size=1.5gb', 'x'], { logMaxSize: 1_500_000_000 }, ['x']],
    [['run', '--speed', '0.5', 'x'], { speed: 0.5 }, ['x']],
    [['run', '--speed', '0', 'x'], { speed: 0 }, ['x']],
    [['run', '--reset-step', 'a', 'x', '--reset-step=b,c'], { resetStep: ['a', 'b', 'c'] }, ['x']],
    [['query', 'SELECT 1', '--format', 'csv'], { format: 'csv' }, ['SELECT 1']],
    [['query', 'SELECT 1'], { format: 'table' }, ['SELECT 1']],
    [['describe', 'x'], { format: 'text' }, ['x']],
    [
      ['read', 't', '--from', '12', '--partition', '3', '--limit', '5', '--follow'],
      { from: '12', partition: 3, limit: 5, follow: true },
      ['t'],
    ],
    [['publish', 't', '--qos', '0', '--', '-5'], { qos: '0' }, ['t', '-5']],
    [['topics', '--data=/x'], { data: '/x' }, []],
  ])('%j', (argv, values, args) => {
    const line = parseCommandLine(argv);
    expect(line.args).toEqual(args);
    expect(resolveSettings(line, {}, undefined).values).toMatchObject(values);
  });

  it('takes types from a config file as they are', () => {
    const { values } = resolve(['run'], {}, { pipelines: ['a', './b.ts'], untilEnd: true, logMaxSize: '2MiB', mqttPort: 0 });
    expect(values).toMatchObject({ pipelines: ['a', './b.ts'], untilEnd: true, logMaxSize: 2_097_152, mqttPort: 0 });
  });
});

describe('mistakes name the nearest right thing', () => {
  it.each<[string[], string, RegExp]>([
    [['rum'], 'E_USAGE', /'rum'; did you mean millrace run\?/],
    [['run', '--htp-port', '1'], 'E_USAGE', /--htp-port; did you mean --http-port\?/],
    [['run', '--httpPort', '1'], 'E_USAGE', /did you mean --http-port\?/],
    [['query', 'x', '--fromat=csv'], 'E_USAGE', /did you mean --format\?/],
    [['query', 'x', '--speed', '3'], 'E_USAGE', /--speed belongs to millrace run, not to millrace query/],
    [['query', 'x', '--format', 'xml'], 'E_USAGE', /--format is 'xml'; use table, json, csv/],
    [['describe', 'x', '--format', 'csv'], 'E_USAGE', /use text, mermaid, json/],
    [['run', '--mqtt-port', '70000'], 'E_USAGE', /from 0 to 65535/],
    [['run', '--mqtt-port', '18x'], 'E_USAGE', /from 0 to 65535/],
    [['run', '--mqtt-port'], 'E_USAGE', /--mqtt-port needs a value: --mqtt-port N/],
    [['run', '--data', '--until-end'], 'E_USAGE', /--data needs a value/],
    [['run', '--pipelines', 'a'], 'E_USAGE', /knows no --pipelines/],
    [['read', 't', '--limit', '0'], 'E_USAGE', /1 or more/],
    [['query'], 'E_USAGE', /the form is: millrace query SQL/],
    [['topics', 'x'], 'E_USAGE', /given 'x'; the form is: millrace topics/],
    [['publish', 't', '-5'], 'E_USAGE', /put -- before an argument that begins with a minus/],
  ])('%j', (argv, code, message) => {
    const error = errorOf(() => resolve(argv));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it.each<[Record<string, string>, RegExp]>([
    [{ MILLRACE_HTTP_PROT: '1' }, /MILLRACE_HTTP_PROT is not known; did you mean MILLRACE_HTTP_PORT\?/],
    [{ MILLRACE_FORMAT: 'csv' }, /MILLRACE_FORMAT is not known/],
    [{ MILLRACE_HTTP_PORT: 'x' }, /MILLRACE_HTTP_PORT is 'x'/],
    [{ MILLRACE_UNTIL_END: 'yes' }, /use true or false/],
  ])('%j', (env, message) => {
    const error = errorOf(() => resolve(['run'], env));
    expect(error.code).toBe('E_CONFIG');
    expect(error.message).toMatch(message);
  });

  it.each<[unknown, RegExp]>([
    [{ httpport: 1 }, /millrace\.config\.ts: the key 'httpport' is not known; did you mean httpPort\?/],
    [{ httpPort: '80a' }, /millrace\.config\.ts: httpPort is '80a'/],
    [{ untilEnd: 'maybe' }, /use true or false/],
    [{ pipelines: 5 }, /give a list/],
    [{ format: 'csv' }, /the key 'format' is not known/],
    [null, /must be an object of settings/],
    [[], /must be an object of settings/],
  ])('config file %j', (file, message) => {
    const error = errorOf(() => resolve(['run'], {}, file));
    expect(error.code).toBe('E_CONFIG');
    expect(error.message).toMatch(message);
  });

  it('leaves variables alone that are no settings', () => {
    expect(() =>
      resolve(['run'], { MILLRACE_DEBUG: '1', MILLRACE_KILL_AT: 'at-cut', MILLRACE_REQUIRE_REAL: '1', PATH: '/x' }),
    ).not.toThrow();
  });
});

describe('nearest', () => {
  it.each([
    ['queyr', ['query', 'read'], 'query'],
    ['follwo', ['from', 'follow'], 'follow'],
    ['xyzzy', ['query', 'read'], undefined],
  ])('%s', (given, names, expected) => {
    expect(nearest(given, names)).toBe(expected);
  });
});

describe('help', () => {
  it('names every command, and every flag of each', () => {
    const general = generalHelp('1.2.3');
    for (const [name, { form }] of Object.entries(COMMANDS)) {
      expect(general).toContain(`millrace ${form}`);
      const text = commandHelp(name as keyof typeof COMMANDS);
      const its = settingEntries.filter(([, { commands }]) => (commands as readonly string[]).includes(name));
      for (const [setting, { only }] of its) expect(text).toContain(only === 'file' ? variableOf(setting) : flagOf(setting));
    }
  });
});

it('takes SQL that begins with a comment for SQL', () => {
  const { args, flags } = parseCommandLine(['query', '-- the worst hour\nSELECT 1', '--format', 'csv']);
  expect(args.map((a) => a.trim())).toEqual(['-- the worst hour\nSELECT 1']);
  expect(flags.get('format')).toBe('csv');
});
