// Where this very package lies, from its sources as well as from dist/.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const fromSources = import.meta.url.endsWith('.ts');
const root = new URL(fromSources ? '../' : '../../', import.meta.url);

/** The package's folder, with a slash at its end. */
export const packageRoot = fileURLToPath(root);

/** The suffix of our own modules: `.ts` when run from the sources, `.js` from dist/. */
export const moduleSuffix = fromSources ? '.ts' : '.js';

/** The URL of one of our modules, named without its suffix: `runtime/lineProcess`. */
export function ownModule(path: string): string {
  return new URL(`${fromSources ? '' : 'dist/'}${path}${moduleSuffix}`, root).href;
}

/** What a pipeline file may import of us, and the module behind each. */
export const ownEntries: Readonly<Record<string, string>> = {
  millrace: ownModule('index'),
  'millrace/testing': ownModule('testing/index'),
  'millrace/runtime': ownModule('runtime/index'),
};

/** The version in package.json. */
export function packageVersion(): string {
  return (JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { version: string }).version;
}
