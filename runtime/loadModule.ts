// Imports a user's .ts or .js file, and says in one line what is wrong with it when it cannot be.
import { register } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { register as registerTsx } from 'tsx/esm/api';
import { type ErrorCode, MillraceError, messageOf } from '../engine/errors.ts';
import { ownEntries, ownModule, packageRoot } from './ownPackage.ts';
import type { HookData } from './resolveHooks.ts';

let hooksAreIn = false;

function putHooksIn(): void {
  if (hooksAreIn) return;
  hooksAreIn = true;
  registerTsx();
  const data: HookData = { entries: ownEntries, root: pathToFileURL(packageRoot).href };
  register(ownModule('runtime/resolveHooks'), { data });
}

/**
 * The default export of a file, undefined when it has none.
 *
 * Errors  `code`, with file, line and column, for a syntax error, a missing import, or whatever the file throws.
 *         An error that is ours keeps its code.
 */
export async function loadDefault(path: string, code: ErrorCode): Promise<unknown> {
  putHooksIn();
  let module: { default?: unknown };
  try {
    module = (await import(pathToFileURL(path).href)) as typeof module;
  } catch (error) {
    throw readable(path, code, error);
  }
  const found = module.default;
  // A CommonJS file that esbuild made of an ES module carries its default export one level deeper.
  return typeof found === 'object' && found !== null && '__esModule' in found ? (found as { default?: unknown }).default : found;
}

function readable(path: string, code: ErrorCode, error: unknown): MillraceError {
  if (error instanceof MillraceError) {
    const where = placeIn(error) ?? path;
    return new MillraceError(error.code, `${where}: ${error.message.replace(/^E_[A-Z_]+: /, '')}`, { cause: error });
  }
  const message = messageOf(error);
  const transform = /^Transform failed[^\n]*\n(.+?):(\d+):(\d+): ERROR: ([^\n]*)/.exec(message);
  if (transform !== null)
    return new MillraceError(code, `${transform[1]}:${transform[2]}:${transform[3]}: syntax error: ${transform[4]}`, { cause: error });
  const where = placeIn(error) ?? path;
  if (isMissing(error)) return new MillraceError(code, `${where}: ${missing(message)}`, { cause: error });
  const kind = error instanceof SyntaxError ? '' : `the file threw while it was read: ${error instanceof Error ? `${error.name}: ` : ''}`;
  return new MillraceError(code, `${where}: ${kind}${message.replaceAll(/\s*\n\s*/g, ' ')}`, { cause: error });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND');
}

/** `Cannot find package 'zod' imported from /a/b.ts` → what to do about it. */
function missing(message: string): string {
  const found = /^Cannot find (package|module) '([^']+)'(?: imported from (.+))?/.exec(message.split('\n')[0] as string);
  if (found === null) return message.split('\n')[0] as string;
  const [, kind, name, from] = found;
  return `cannot find ${name}${from === undefined ? '' : `, imported by ${from}`}${kind === 'package' ? `; npm install ${name} where the file lies` : ''}`;
}

/** The first place in the stack that is neither Node nor a dependency nor this package's machinery: file:line:column. */
function placeIn(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.stack === undefined) return undefined;
  const machinery = [packageRoot, fileURLToPath(new URL('.', ownModule('index')))];
  for (const line of error.stack.split('\n')) {
    const found = /(?:\(|at (?:async )?|^)((?:file:\/\/)?\/[^()]*?):(\d+)(?::(\d+))?\)?$/.exec(line.trim());
    if (found === null) continue;
    const path = (found[1] as string).startsWith('file:') ? fileURLToPath(found[1] as string) : (found[1] as string);
    if (path.includes('/node_modules/') || isMachinery(path, machinery)) continue;
    return `${path}:${found[2]}${found[3] === undefined ? '' : `:${found[3]}`}`;
  }
  return undefined;
}

function isMachinery(path: string, roots: readonly string[]): boolean {
  return roots.some(
    (root) =>
      path.startsWith(root) &&
      !path.startsWith(`${packageRoot}pipelines/`) &&
      /^(engine|runtime|operators|codecs|ingest|sinks|log|testing|dist|index)\b/.test(path.slice(root.length)),
  );
}
