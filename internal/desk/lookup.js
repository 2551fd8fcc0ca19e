// The look-up that does not tell the server the name: the page of the list's map that the name
// would be on is fetched, held against the map's root by its hashes, and the name is looked for here. The map's
// form is described in package ledger. Without this script the form sends the name, and says so.
"use strict";
(() => {
	const form = document.getElementById("ask"), field = document.getElementById("name"), result = document.getElementById("result");
	const how = document.getElementById("how"), say = (id) => document.getElementById(id).content.cloneNode(true);
	if (!form || !result || !document.getElementById("private")) return;
	if (!window.crypto || !crypto.subtle) { // browsers have it on secure origins alone
		how.replaceChildren(say("insecure"));
		return;
	}
	const map = form.dataset.map, utf8 = new TextEncoder();

	const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
	const join = (...parts) => {
		const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
		let at = 0;
		for (const p of parts) {
			out.set(p, at);
			at += p.length;
		}
		return out;
	};
	// A leaf and a node of a tree of hashes (RFC 6962).
	const leaf = (bytes) => sha256(join([0], bytes)), node = (a, b) => sha256(join([1], a, b));
	const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
	const get = async (path, type) => {
		const r = await fetch(path, {credentials: "omit", referrerPolicy: "no-referrer"});
		if (!r.ok) throw new Error(path + ": " + r.status);
		return r[type]();
	};

	// host is the name or address in what people paste, as the list writes it; null where there is none.
	const host = (text) => {
		text = text.trim().replace(/\[\.\]|\(\.\)|[。．]/g, ".").replace(/\[:\]/g, ":").replace(/^[a-z]+:\/\//i, "");
		text = text.split(/[/?#]/)[0].split("@").pop();
		if ((text.match(/:/g) || []).length > 1 && !text.startsWith("[")) text = "[" + text + "]";
		try {
			const name = new URL("http://" + text).hostname.replace(/\.$/, "");
			return name.length <= 253 && (name.startsWith("[") || /^[^.%]{1,63}(\.[^.%]{1,63})*$/.test(name)) ? name : null;
		} catch {
			return null;
		}
	};

	// subjects are what would list a name or an address, the one that decides first: its scope, its
	// text, and its group's.
	const subjects = (name, wide) => {
		const all = [];
		if (/^\d+\.\d+\.\d+\.\d+$/.test(name)) {
			const bytes = name.split(".").map(Number), write = (b) => b.join(".");
			prefixes(all, bytes, 16, wide, write);
		} else if (name.startsWith("[")) {
			const write = (b) => new URL("http://[" + Array.from({length: 8}, (_, i) => (b[2 * i] << 8 | b[2 * i + 1]).toString(16)).join(":") + "]").hostname.slice(1, -1);
			const bytes = sixteen(name.slice(1, -1));
			if (bytes.slice(0, 10).every((b) => b === 0) && bytes[10] === 255 && bytes[11] === 255) {
				prefixes(all, bytes.slice(12), 16, wide, (b) => b.join("."));
			} else {
				prefixes(all, bytes, 32, wide, write);
			}
		} else {
			const labels = name.split(".");
			for (let i = 0; i < labels.length; i++) {
				const rest = labels.slice(i), group = rest.slice(-2).join(".");
				if (rest.length === 1 && !wide) continue;
				if (i === 0) all.push({scope: "exact", text: name, group, salted: rest.length > 1});
				all.push({scope: "subtree", text: rest.join("."), group, salted: rest.length > 1});
			}
		}
		return all;
	};
	const prefixes = (all, bytes, groupBits, wide, write) => {
		const cut = (bits) => bytes.map((b, i) => b & 0xff << Math.max(0, Math.min(8, 8 * (i + 1) - bits)));
		for (let bits = 8 * bytes.length; bits >= 0; bits--) {
			const of = bits < groupBits ? 0 : groupBits;
			if (of === 0 && !wide) continue;
			all.push({scope: "prefix", text: write(cut(bits)) + "/" + bits, group: write(cut(of)) + "/" + of});
		}
	};
	const sixteen = (text) => {
		const [head, tail] = text.split("::"), words = (s) => s ? s.split(":").map((w) => parseInt(w, 16)) : [];
		const a = words(head), b = words(tail), all = tail === undefined ? a : [...a, ...Array(8 - a.length - b.length).fill(0), ...b];
		return all.flatMap((w) => [w >> 8, w & 255]);
	};

	// keys are the places in the map of a subject: 14 octets of its hash and 2 of its group's.
	const keys = async (s, salts) => {
		const group = (await sha256(utf8.encode("group\0" + s.group))).slice(0, 2), out = [];
		for (const salt of s.salted ? [new Uint8Array(16), ...salts] : [new Uint8Array(16)]) {
			const hash = await sha256(join(salt, utf8.encode(s.scope + "\0" + s.text)));
			out.push(join(hash.slice(2, 16), group));
		}
		return out;
	};

	// Wrong says that what was sent is not of the map that it should be of.
	class Wrong extends Error {}

	// readHead reads the head of the map, and holds that it is the one of that root.
	const readHead = async (root) => {
		const text = await get(map + "map/" + root + "/head", "text");
		if (hex(await sha256(utf8.encode(text))) !== root) throw new Wrong("the map's head has another digest");
		const of = (name) => text.split("\n").filter((l) => l.startsWith(name + " ")).map((l) => l.slice(name.length + 1));
		return {
			count: Number(of("count")[0]), pages: Number(of("pages")[0]), wide: of("wide")[0] !== "0", tree: of("tree")[0],
			salts: of("salt").map((s) => Uint8Array.from(s.match(/../g), (x) => parseInt(x, 16))),
		};
	};

	const record = 24;
	const pageOf = (head, key) => Math.floor((key[14] << 8 | key[15]) * head.pages / 65536);
	// bucketIn is the bucket of a key or a record in a page of some records.
	const bucketIn = (count) => {
		const width = count <= 16 ? 0 : Math.min(32, Math.floor(Math.log2(Math.floor((count - 1) / 16))) + 1);
		return {buckets: 2 ** width, of: (at) => Math.floor(new DataView(at.buffer, at.byteOffset).getUint32(0) / 2 ** (32 - width))};
	};
	const ascends = (a, b) => {
		for (let i = 0; i < record; i++) if (a[i] !== b[i]) return a[i] < b[i];
		return false;
	};

	// openPage holds that a page is the one of that number: that its hashes lead to the tree that the head
	// names. It returns the page's records.
	const openPage = async (head, n, bytes) => {
		const above = Math.log2(head.pages), records = bytes.subarray(32 * above), count = records.length / record;
		const place = bucketIn(count), ends = new Array(place.buckets).fill(0);
		if (!Number.isInteger(count)) throw new Wrong("a page of a part of a record");
		for (let i = 0; i < count; i++) {
			const at = records.subarray(record * i, record * (i + 1));
			if (pageOf(head, at) !== n || i > 0 && !ascends(records.subarray(record * (i - 1)), at)) throw new Wrong("a record out of its place");
			ends[place.of(at)] = record * (i + 1);
		}
		let from = 0;
		let hashes = await Promise.all(ends.map((end) => {
			const bucket = records.subarray(from, Math.max(from, end));
			from = Math.max(from, end);
			return leaf(bucket);
		}));
		while (hashes.length > 1) {
			const below = hashes;
			hashes = await Promise.all(Array.from({length: below.length / 2}, (_, i) => node(below[2 * i], below[2 * i + 1])));
		}
		const size = new Uint8Array(8);
		new DataView(size.buffer).setBigUint64(0, BigInt(count));
		let hash = await leaf(join(size, hashes[0]));
		for (let i = 0, at = n; i < above; i++, at >>= 1) {
			const other = bytes.subarray(32 * i, 32 * (i + 1));
			hash = at & 1 ? await node(other, hash) : await node(hash, other);
		}
		if (hex(hash) !== head.tree) throw new Wrong("the page's hashes do not lead to the map's root");
		return records;
	};

	// find looks for a name in the map: the entry that lists it, and those that are fetched with that
	// one, so that the server does not learn which; null where nothing lists it.
	const find = async (name) => {
		const {map: root, epoch} = await get(map + "map/current", "json");
		const head = await readHead(root), fetched = new Map();
		let found = null;
		for (const s of subjects(name, head.wide)) {
			for (const key of await keys(s, head.salts)) {
				const n = pageOf(head, key);
				if (!fetched.has(n)) {
					fetched.set(n, await openPage(head, n, new Uint8Array(await get(map + "map/" + root + "/" + n, "arrayBuffer"))));
				}
				const entry = found || lookFor(fetched.get(n), key);
				found = entry; // and all pages are fetched whatever is found, so that their number tells nothing
			}
		}
		return {found, root, epoch};
	};
	// lookFor finds a key among a page's records, which ascend, and the others of its bucket.
	const lookFor = (records, key) => {
		const count = records.length / record, bucket = bucketIn(count).of;
		const number = (at) => { const v = new DataView(at.buffer, at.byteOffset + 16); return v.getUint32(0) * 2 ** 32 + v.getUint32(4); };
		let own = -1;
		const among = [];
		for (let i = 0; i < count; i++) {
			const at = records.subarray(record * i, record * (i + 1));
			if (bucket(at) !== bucket(key)) continue;
			among.push(number(at));
			if (key.every((b, j) => at[j] === b)) own = number(at);
		}
		return own < 0 ? null : {own, among: among.slice(0, 64).includes(own) ? among.slice(0, 64) : [own]};
	};

	const show = (part, name, ...more) => {
		for (const e of part.querySelectorAll(".asked")) e.textContent = name;
		for (const e of part.querySelectorAll("a.appeal")) e.href = e.dataset.to + "?name=" + encodeURIComponent(name);
		result.replaceChildren(part, ...more);
	};
	// proved says what was checked here, and where the root stands by which.
	const proved = ({root, epoch}) => {
		const part = say("proved"), entry = part.querySelector("a");
		entry.href = entry.dataset.to + epoch;
		entry.textContent += " " + epoch;
		part.querySelector("code").textContent = root;
		return part;
	};
	const look = async (text) => {
		const name = host(text);
		if (name === null) return show(say("wrong"), text);
		const plain = name.replace(/^\[|\]$/g, "");
		result.setAttribute("aria-busy", "true");
		try {
			const answer = await find(name), {found} = answer;
			if (found === null) return show(say("clear"), plain, proved(answer));
			const page = await get(form.dataset.among + "?n=" + found.among.join("&n="), "text");
			const one = new DOMParser().parseFromString(page, "text/html").getElementById("entry-" + found.own);
			show(document.importNode(one, true), plain, proved(answer));
		} catch (e) {
			console.error(e);
			show(say(e instanceof Wrong ? "mismatch" : "failed"), plain);
		} finally {
			result.removeAttribute("aria-busy");
		}
	};

	how.replaceChildren(say("private"));
	form.addEventListener("submit", (e) => {
		e.preventDefault();
		history.replaceState(null, "", location.pathname + "#" + encodeURIComponent(field.value));
		look(field.value);
	});
	const fromAddress = () => {
		if (location.hash.length < 2) return;
		try {
			field.value = decodeURIComponent(location.hash.slice(1));
		} catch {
			return;
		}
		look(field.value);
	};
	addEventListener("hashchange", fromAddress);
	fromAddress();
})();
