import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build, transform } from 'esbuild';

/** Source text of src/generated/client.ts: the page's script and style, minified. */
export async function bundleClient(): Promise<string> {
  const file = (path: string) => fileURLToPath(new URL(`../src/client/${path}`, import.meta.url));
  const bundle = await build({
    entryPoints: [file('main.ts')],
    bundle: true,
    minify: true,
    format: 'iife',
    target: 'es2022',
    legalComments: 'none',
    charset: 'ascii',
    write: false,
  });
  const css = await transform(await readFile(file('style.css'), 'utf8'), { loader: 'css', minify: true });
  // Inside an HTML script element: no text may end it.
  const script = bundle.outputFiles[0]!.text.trim()
    .replace(/<\/(script)/gi, '<\\/$1')
    .replace(/<!--/g, '<\\!--');
  return [
    '/** Made by scripts/bundle-client.ts from src/client. Contains Observable Plot and d3 (ISC licence). */',
    `export const clientScript: string = ${JSON.stringify(script)};`,
    `export const clientStyle: string = ${JSON.stringify(css.code.trim())};`,
    '',
  ].join('\n');
}
