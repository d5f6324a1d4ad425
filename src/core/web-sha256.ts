/** Returns the SHA-256 in hexadecimal; undefined in insecure contexts, in which browsers do not provide it. */
export async function sha256(bytes: Uint8Array): Promise<string | undefined> {
  const digest = await crypto.subtle?.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return digest && Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
