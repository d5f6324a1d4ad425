import { join } from 'node:path';
import { folder } from './safetensors.js';

/** Sets variables of the environment, those of S3 without anything of this machine's. @returns what takes it back. */
export function setS3Environment(values: Readonly<Record<string, string>>): () => void {
  const usual = { ...process.env };
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
  Object.assign(process.env, {
    AWS_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: join(folder(), 'config'),
    AWS_SHARED_CREDENTIALS_FILE: join(folder(), 'credentials'),
    ...values,
  });
  return () => {
    for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
    Object.assign(process.env, usual);
  };
}
