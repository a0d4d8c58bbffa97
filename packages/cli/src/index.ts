/** `msae` in a program: `await run(['inspect', 'sae', '--json'])` prints what the command would and gives its exit code. */
export { run } from './run.ts';
