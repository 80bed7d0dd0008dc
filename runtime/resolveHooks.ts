// Module hooks for pipeline files: `millrace` is found from anywhere, and their .ts and .js files are ES modules.
// Runs in Node's hooks thread, so it imports nothing of ours.
import { existsSync, readFileSync } from 'node:fs';
import type { ResolveHook } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** What the loading thread hands over. */
export interface HookData {
  /** Bare specifier → URL of our own module. */
  readonly entries: Readonly<Record<string, string>>;
  /** URL of this package's folder. */
  readonly root: string;
}

let data: HookData;

/** Called by Node with the data given to module.register. */
export function initialize(given: HookData): void {
  data = given;
}

/**
 * A file's own copy of millrace goes first; where there is none, this very package answers, so that
 * `npx millrace run /tmp/mine.ts` works. Files of this package always get this package.
 */
export const resolve: ResolveHook = async (specifier, context, next) => {
  const own = data.entries[specifier];
  if (own !== undefined && (context.parentURL === undefined || !hasOwnCopy(context.parentURL)))
    return { url: own, format: 'module', shortCircuit: true };
  const found = await next(specifier, context);
  return isModuleByIntent(found.url) ? { ...found, format: 'module' } : found;
};

function hasOwnCopy(parentUrl: string): boolean {
  if (!parentUrl.startsWith('file:')) return false;
  if (parentUrl.startsWith(data.root) && !parentUrl.slice(data.root.length).includes('node_modules/')) return false;
  let folder = dirname(fileURLToPath(parentUrl));
  while (true) {
    if (existsSync(join(folder, 'node_modules', 'millrace', 'package.json'))) return true;
    const above = dirname(folder);
    if (above === folder) return false;
    folder = above;
  }
}

/** A lone mine.ts with no package.json near would be CommonJS to Node. Who writes `import` means a module. */
function isModuleByIntent(url: string): boolean {
  if (!url.startsWith('file:') || url.includes('/node_modules/')) return false;
  const path = url.replace(/[?#].*$/, '');
  if (path.endsWith('.ts')) return true;
  if (!path.endsWith('.js') || path.startsWith(data.root)) return false;
  try {
    return packageTypeOf(path) === undefined && /^\s*(import|export)[\s{*'"]/m.test(readFileSync(new URL(path), 'utf8'));
  } catch {
    return false;
  }
}

function packageTypeOf(url: string): unknown {
  let folder = dirname(fileURLToPath(url));
  while (true) {
    const file = join(folder, 'package.json');
    if (existsSync(file)) return (JSON.parse(readFileSync(pathToFileURL(file), 'utf8')) as { type?: unknown }).type;
    const above = dirname(folder);
    if (above === folder) return undefined;
    folder = above;
  }
}
