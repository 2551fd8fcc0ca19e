// Looks for a number with which SHA-256(challenge ":" number) begins with enough zero bits.
// FIPS 180-4, for messages of two blocks: the challenge fills most of the first.
"use strict";
const K = new Uint32Array(64), START = new Uint32Array(8);

function isPrime(n) {
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
  return true;
}

for (let n = 2, i = 0; i < 64; n++) {
  if (!isPrime(n)) continue;
  K[i] = (Math.cbrt(n) % 1) * 2 ** 32;
  if (i < 8) START[i] = (Math.sqrt(n) % 1) * 2 ** 32;
  i++;
}

const w = new Uint32Array(64);

function block(h, bytes, at) {
  for (let i = 0; i < 16; i++, at += 4) w[i] = bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15], y = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3) + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10);
  }
  let a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7];
  for (let i = 0; i < 64; i++) {
    const t = k + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (e & f ^ ~e & g) + K[i] + w[i] | 0;
    const u = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0;
    k = g; g = f; f = e; e = d + t | 0; d = c; c = b; b = a; a = t + u | 0;
  }
  h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += k;
}

onmessage = (event) => {
  const { challenge, bits } = event.data;
  const prefix = new TextEncoder().encode(challenge + ":");
  const bytes = new Uint8Array(128), h = new Uint32Array(8), wanted = 2 ** (32 - bits);
  for (let n = 0; ; n++) {
    const text = String(n), length = prefix.length + text.length;
    bytes.fill(0);
    bytes.set(prefix);
    for (let i = 0; i < text.length; i++) bytes[prefix.length + i] = text.charCodeAt(i);
    bytes[length] = 0x80;
    const end = length + 9 <= 64 ? 64 : 128;
    bytes[end - 2] = length * 8 >>> 8;
    bytes[end - 1] = length * 8;
    h.set(START);
    for (let at = 0; at < end; at += 64) block(h, bytes, at);
    if (h[0] < wanted) {
      postMessage(text);
      return;
    }
  }
};
