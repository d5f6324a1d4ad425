import { execFileSync } from 'node:child_process';

/** A Python that has PyTorch, if there is one. */
export const PYTHON = ['/usr/bin/python3', 'python3'].find((path) => {
  try {
    execFileSync(path, ['-c', 'import torch'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});

/** Runs code with torch, json and os at hand, in a folder. */
export function python(folder: string, code: string): void {
  execFileSync(PYTHON!, ['-c', `import torch, json, os\nos.chdir(${JSON.stringify(folder)})\n${code}`]);
}
