"use strict";
// The page: photographs are sent to this server, one request each, and what it says is shown.
// Texts from files and answers are only ever set as text, never as markup.

const LIMITS = {
  bytes: Number(document.body.dataset.uploadBytes),
  files: Number(document.body.dataset.mostFiles),
};
const AT_ONCE = 2;
const TRIES = 30;
const DEBOUNCE = 120;
const MOST_REMEMBERED = 300;
const COARSE = [0, 15, 8, 4, 12, 2, 6, 10, 1, 3, 5];
const METHOD_NOTES = {
  fgsm: "Fast gradient sign method: one step of ε that increases the loss of the class that the detector favours.",
  llcm: "Least-likely-class method: one step of ε towards the class that the detector finds least likely. With two classes, this is the same step as FGSM.",
  pgd: "Projected gradient descent: ten steps of ε/4 that stay within the budget. A detector that withstands FGSM but not this attack only seemed to be robust.",
};
const FORM_BYTES = 500;
const COLUMNS = ["sha256", "verdict", "top_class", "likelihood_ratio", "log10_lr", "log10_lr_low", "log10_lr_high", "certified_radius", "score", "crops", "notes", "reason", "width", "height", "format", "seconds", "detector"];
const DETECTORS = ["accurate", "robust"];

const $ = (id) => document.getElementById(id);
const photos = [];
let chosen = null;
let cards = {};
let nextId = 0;

// ---- Asking the server ----

class Refusal extends Error {}

async function ask(path, options) {
  for (let tried = 1; ; tried++) {
    const answer = await fetch(path, options);
    if (answer.status === 503 && tried < TRIES) {
      const seconds = Number(answer.headers.get("Retry-After")) || 2;
      await pause(1000 * seconds * (0.5 + Math.random()), options?.signal);
      continue;
    }
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    throw new Refusal(problem.detail || `the server answered with status ${answer.status}`);
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new DOMException("no longer needed", "AbortError"));
    if (signal?.aborted) return stop();
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); stop(); }, { once: true });
  });
}

function send(path, photo, parameters, signal) {
  const query = new URLSearchParams({ ...parameters, name: photo.name });
  const headers = { "Content-Type": "application/octet-stream" };
  return ask(`${path}?${query}`, { method: "POST", body: photo.file, headers, signal });
}

function reasonOf(error) {
  if (error instanceof Refusal) return error.message;
  return "the server cannot be reached; is it still running?";
}

// ---- Photographs ----

function take(files) {
  const images = [...files].filter((file) => file.size > 0 || file.type);
  for (const file of images) {
    const photo = {
      id: nextId++, file, name: file.name || "pasted image", url: URL.createObjectURL(file),
      found: {}, stop: new AbortController(),
    };
    photos.push(photo);
    judge(photo, detector());
    if (chosen === null) choose(photo);
  }
  if (images.length) tell(`${images.length === 1 ? images[0].name || "one photograph" : `${images.length} photographs`} added`);
  render();
}

const waiting = [];
let busy = 0;

function judge(photo, name) {
  if (photo.found[name]) return;
  photo.found[name] = { state: "pending" };
  waiting.push({ photo, name });
  next();
}

function next() {
  while (busy < AT_ONCE && waiting.length) {
    busy++;
    const { photo, name } = waiting.shift();
    judged(photo, name).finally(() => { busy--; next(); });
  }
}

async function judged(photo, name) {
  let found;
  try {
    if (photo.file.size > LIMITS.bytes) throw new Refusal(`the file has ${megabytes(photo.file.size)}; the limit is ${megabytes(LIMITS.bytes)}`);
    // As a form, so that a file that cannot be judged is a verdict and no failed request.
    const body = new FormData();
    body.append("file", photo.file, photo.name);
    const options = { method: "POST", body, signal: photo.stop.signal };
    const answer = await ask(`/v1/verdicts?detector=${name}&pictures=true`, options);
    found = { state: "done", ...(await answer.json()).verdicts[0] };
  } catch (error) {
    if (error.name === "AbortError") return;
    found = { state: "done", verdict: "error", reason: reasonOf(error), notes: [], pictures: null };
  }
  photo.found[name] = found;
  if (name === detector()) tell(`${photo.name}: ${found.verdict}`);
  if (photo === chosen) attackSoon(0);
  render();
}

function remove(photo) {
  photo.stop.abort();
  URL.revokeObjectURL(photo.url);
  const place = photos.indexOf(photo);
  photos.splice(place, 1);
  for (const key of remembered.keys()) if (key.startsWith(`${photo.id} `)) remembered.delete(key);
  if (chosen === photo) choose(photos[Math.min(place, photos.length - 1)] ?? null);
  render();
}

function choose(photo) {
  chosen = photo;
  if (photo) attackSoon(0);
  else attacking.abort();
}

const detector = () => document.querySelector("input[name=detector]:checked").value;
const view = () => document.querySelector("input[name=view]:checked").value;
const method = () => document.querySelector("input[name=method]:checked").value;
const budget = () => Number($("budget").value);
const tell = (text) => { $("status").textContent = text; };
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

// ---- Showing verdicts ----

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function render() {
  $("photographs").hidden = $("attack").hidden = photos.length === 0;
  renderList();
  if (chosen) renderDetail(chosen, chosen.found[detector()] ?? { state: "pending" });
}

function renderList() {
  const focused = document.activeElement?.closest?.("#list button");
  const again = focused && `${focused.className} ${focused.closest("li").dataset.id}`;
  $("list").replaceChildren(...photos.map((photo) => {
    const found = photo.found[detector()] ?? {};
    const word = found.verdict ?? "…";
    const picture = element("img", { src: photo.url, alt: "" });
    picture.addEventListener("error", () => {
      const thumbnail = found.pictures?.thumbnail;
      if (thumbnail && picture.src !== thumbnail) picture.src = thumbnail;
      else picture.style.visibility = "hidden";
    });
    const pick = element("button", { type: "button", class: "pick", onclick: () => { choose(photo); render(); } },
      picture, element("span", { class: "what" }, photo.name),
      element("span", { class: `said ${kindOf(found.verdict, detector())}` }, word));
    if (photo === chosen) pick.setAttribute("aria-current", "true");
    const away = element("button", { type: "button", class: "remove", "aria-label": `Remove ${photo.name}`, onclick: () => remove(photo) }, "×");
    const item = element("li", { "data-id": photo.id }, pick, away);
    if (again === `pick ${photo.id}`) queueMicrotask(() => pick.focus());
    if (again === `remove ${photo.id}`) queueMicrotask(() => away.focus());
    return item;
  }));
}

function renderDetail(photo, found) {
  $("detail").setAttribute("aria-busy", String(found.state === "pending"));
  $("detail-name").textContent = photo.name;
  $("verdict").textContent = found.verdict === "error" ? "cannot be judged" : found.verdict ?? "being judged …";
  $("verdict").className = `verdict ${kindOf(found.verdict, detector())}`;
  if (found.top_class && kindOf(found.verdict, detector()) === "other" && found.top_class !== found.verdict) $("verdict").append(`, most likely ${found.top_class}`);
  $("reason").textContent = found.reason ? sentence(found.reason) : "";
  renderRatio(found);
  renderScale(found);
  renderKeyCrop(found.pictures?.key_crop ?? null);
  renderFacts(found);
  for (const rates of document.querySelectorAll(".rates")) rates.hidden = rates.dataset.detector !== detector();
  showPhoto(photo, found);
}

function renderRatio(found) {
  const judgedOnly = found.score != null;
  const ratio = $("ratio");
  ratio.replaceChildren();
  if (found.in_figures != null) {
    ratio.append("Likelihood ratio ", element("b", {}, times(found.in_figures)), found.between);
  } else if (judgedOnly) {
    ratio.append("No likelihood ratio: this detector gives none.");
  }
  $("proof").textContent = found.proof ? sentence(found.proof) : "";
  $("words").textContent = found.in_words ?? "";
  const known = found.in_words != null;
  $("propositions").replaceChildren(...(known ? found.propositions.map((each) => element("li", {}, sentence(each))) : []));
}

function times(figures) {
  const [first, other] = words(detector());
  return figures.startsWith("1/") ? `${figures.slice(2)} for ${first}` : `${figures} for ${other}`;
}

const fixed = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

// Where the verdicts of a card lie on the axis of scores.
function zones(name) {
  const decision = cards[name]?.card.decision;
  return decision ? [decision.original_to, decision.recaptured_from] : [0, 0];
}

// What a card calls photographs of its first class, and all others.
function words(name) {
  return cards[name]?.words ?? ["", ""];
}

// How a verdict is drawn: as undecided, as an error, as class 0, or as any other.
function kindOf(verdict, name) {
  if (verdict == null) return "pending";
  if (verdict === "undecided" || verdict === "error") return verdict;
  return verdict === words(name)[0] ? "class-0" : "other";
}

function renderScale(found) {
  $("scale").replaceChildren();
  if (found.score == null || !found.pictures) return;
  const { neutral, span } = found.pictures;
  const [to, from] = zones(detector());
  // A threshold that no score reaches would leave the others no room.
  const low = Math.min(neutral - span, Math.max(to - 1, neutral - 3 * span));
  const high = Math.max(neutral + span, from + 1);
  const at = (score) => 400 * (Math.min(high, Math.max(low, score)) - low) / (high - low);
  const [first, other] = words(detector());
  const label = `Score ${fixed(found.score)}; ${first} up to ${fixed(to)}, ${other} from ${fixed(from)}`;
  $("scale").append(drawn("svg", { viewBox: "0 0 400 46", role: "img", "aria-label": label },
    drawn("line", { class: "axis", x1: 0, x2: 400, y1: 14, y2: 14 }),
    drawn("rect", { class: "zone-class-0", x: 0, y: 7, width: at(to), height: 14 }),
    drawn("rect", { class: "zone-other", x: at(from), y: 7, width: 400 - at(from), height: 14 }),
    drawn("circle", { class: "now", cx: at(found.score), cy: 14, r: 6 }),
    drawn("text", { x: 0, y: 40, class: "class-0" }, first),
    drawn("text", { x: 400, y: 40, "text-anchor": "end", class: "other" }, other),
    drawn("text", { x: 200, y: 40, "text-anchor": "middle" }, `score ${fixed(found.score)}`)));
}

function renderKeyCrop(keyCrop) {
  $("key-crop").hidden = keyCrop === null;
  if (keyCrop === null) return;
  $("key-crop-crop").src = keyCrop.crop;
  $("key-crop-seen").src = keyCrop.seen;
  const what = keyCrop.kind === "filtered" ? "its residual as the detector sees it" : "its spectrum as the detector sees it";
  const [y, x] = keyCrop.corner;
  $("key-crop-caption").textContent = `The crop with the strongest evidence (at ${x}, ${y}; score ${fixed(keyCrop.score)}), and ${what}.`;
}

function renderFacts(found) {
  const rows = [];
  const add = (name, ...value) => rows.push(element("dt", {}, name), element("dd", {}, ...value));
  if (found.crops != null) add("Crops", `${found.crops} of ${found.pictures?.side ?? "?"} px, at native resolution`);
  const evidence = found.pictures?.evidence;
  if (evidence) {
    const parts = Object.entries(evidence.contributions).map(([kind, value]) => `${kind} ${value > 0 ? "+" : ""}${fixed(value, 1)}`);
    if (parts.length) add("Evidence", `${parts.join(", ")} (above 0 supports ${words(detector())[1]})`);
    if ((evidence.contributions.context ?? 0) > 0) add("Looks like", evidence.looks_like);
    if (evidence.outline.length) add("Region", `${Math.round(100 * evidence.share)} % of the photograph, outlined`);
    if (evidence.period && (evidence.contributions.lattice ?? 0) > 0) add("Grid", `period ${fixed(evidence.period, 1)} px`);
  }
  if (found.width != null) add("Image", `${found.width} × ${found.height} px, ${found.format}`);
  if (found.notes?.length) add("Notes", found.notes.join("; "));
  if (found.seconds != null) add("Time", `${found.seconds.toFixed(2)} s`);
  if (found.sha256) add("SHA-256", element("code", {}, found.sha256));
  if (found.detector) add("Detector", cards[detector()]?.card.title || detector(), " ", element("code", {}, found.detector.slice(0, 16)));
  $("facts").replaceChildren(...rows);
}

// ---- The photograph, with the evidence over it ----

function showPhoto(photo, found) {
  const image = $("photo");
  // Browsers turn a JPEG upright; of other formats not all do: there our own picture is shown.
  const turned = /EXIF orientation [2-8]/.test((found.notes ?? []).join(" "));
  if (turned && found.format !== "JPEG" && found.pictures) photo.fallback = true;
  image.alt = `${photo.name}${found.verdict ? `, ${found.verdict}` : ""}`;
  image.onload = () => overlay(photo, found);
  image.onerror = () => {
    if (found.pictures && !photo.fallback) {
      photo.fallback = true;
      showPhoto(photo, found);
    }
  };
  const source = photo.fallback ? found.pictures?.thumbnail ?? photo.url : photo.url;
  if (image.src === source) overlay(photo, found);
  else image.src = source;
  const seen = view() === "evidence" && found.pictures?.heat;
  $("photo-caption").textContent = seen
    ? `Orange supports ${words(detector())[1]}, blue ${words(detector())[0]}; framed: the ${found.crops} judged crops.`
    : "";
  $("views").hidden = !found.pictures?.heat;
}

function overlay(photo, found) {
  const image = $("photo"), canvas = $("overlay");
  const heat = view() === "evidence" && found.pictures?.heat;
  canvas.hidden = !heat;
  if (!heat || photo !== chosen) return;
  canvas.style.width = `${image.clientWidth}px`;
  canvas.style.height = `${image.clientHeight}px`;
  const painted = new Image();
  painted.onload = () => { if (photo === chosen) paint(canvas, painted, found); };
  painted.src = heat;
}

function paint(canvas, heat, found) {
  const { width, height, pictures } = found;
  const scale = 1400 / Math.max(width, height);
  const across = width * scale, down = height * scale;
  canvas.width = across;
  canvas.height = down;
  const pen = canvas.getContext("2d");
  pen.drawImage(heat, 0, 0, across, down);
  const side = pictures.side * scale;
  for (const [colour, thickness] of [["#000a", 4], ["#fff", 1.5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = thickness;
    for (const [y, x] of pictures.corners) pen.strokeRect(x * scale + 2, y * scale + 2, side - 4, side - 4);
  }
  outline(pen, pictures.evidence?.outline ?? [], scale);
}

// The region that looks most like a recapture, in dashes.
function outline(pen, corners, scale) {
  if (!corners.length) return;
  for (const [colour, thickness] of [["#000c", 9], ["#ffd24d", 5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = thickness;
    pen.setLineDash([24, 12]);
    pen.beginPath();
    for (const [y, x] of corners) pen.lineTo(x * scale, y * scale);
    pen.closePath();
    pen.stroke();
  }
  pen.setLineDash([]);
}

// ---- The attack: the latest choice wins ----

const remembered = new Map();
let attacking = new AbortController();
let timer = 0;

function attackSoon(milliseconds = DEBOUNCE) {
  clearTimeout(timer);
  attacking.abort();
  attacking = new AbortController();
  $("budget-shown").textContent = String(budget());
  $("budget").setAttribute("aria-valuetext", `${budget()} levels`);
  $("method-note").textContent = METHOD_NOTES[method()];
  const wanted = { photo: chosen, method: method(), budget: budget(), signal: attacking.signal };
  if (!canBeAttacked(chosen)) return withoutAttack(chosen);
  for (const name of DETECTORS) {
    const known = remembered.get(keyOf(wanted, name, wanted.budget));
    if (known) renderSide(wanted, name, known);
    else renderPending(wanted, name);
    renderCurve(wanted, name);
  }
  if (inSight) timer = setTimeout(() => attack(wanted), milliseconds);
}

const judgedAs = (photo) => Object.values(photo?.found ?? {}).filter((found) => found.state === "done");
const canBeAttacked = (photo) => judgedAs(photo).some((found) => found.crops > 0);

// What was said of this photograph stays until there is something new; of another, it goes.
function renderPending(wanted, name) {
  const place = side(name);
  if (place.dataset.photo !== String(wanted.photo.id)) renderSide(wanted, name, { refused: "being attacked …" });
  place.setAttribute("aria-busy", "true");
}

function withoutAttack(photo) {
  const text = judgedAs(photo).length ? "Nothing in this file can be attacked." : "being judged …";
  for (const name of DETECTORS) renderSide({ photo, method: method(), budget: budget() }, name, { refused: text });
}

async function attack(wanted) {
  if (!wanted.photo || wanted.signal.aborted) return;
  await Promise.all(DETECTORS.map(async (name) => {
    const found = await attacked(wanted, name, wanted.budget);
    if (found && !wanted.signal.aborted) renderSide(wanted, name, found);
  }));
  if (!wanted.signal.aborted) $("attack-status").textContent = summary(wanted);
  for (const level of COARSE) for (const name of DETECTORS) {
    if (wanted.signal.aborted) return;
    await attacked(wanted, name, level);
    if (!wanted.signal.aborted) renderCurve(wanted, name);
  }
}

// For those who do not see the page.
function summary(wanted) {
  const said = DETECTORS.map((name) => `${name} detector: ${side(name).querySelector(".outcome").textContent}`);
  return `${wanted.method.toUpperCase()}, ε = ${wanted.budget}. ${said.join("; ")}`;
}

const keyOf = (wanted, name, level) => `${wanted.photo?.id} ${name} ${wanted.method} ${level}`;

async function attacked(wanted, name, level) {
  const key = keyOf(wanted, name, level);
  if (remembered.has(key)) return remembered.get(key);
  let found;
  try {
    const parameters = { detector: name, method: wanted.method, budget: level };
    found = await (await send("/v1/attacks", wanted.photo, parameters, wanted.signal)).json();
  } catch (error) {
    if (error.name === "AbortError") return null;
    found = { refused: reasonOf(error) };
    if (!(error instanceof Refusal)) return found;
  }
  if (photos.includes(wanted.photo)) remembered.set(key, found);
  if (remembered.size > MOST_REMEMBERED) remembered.delete(remembered.keys().next().value);
  return found;
}

const side = (name) => document.querySelector(`.side[data-detector="${name}"]`);

function renderSide(wanted, name, found) {
  const place = side(name);
  place.setAttribute("aria-busy", "false");
  const refused = "refused" in found;
  place.dataset.photo = refused ? "" : wanted.photo.id;
  for (const part of [".triple", "table", ".facts"]) place.querySelector(part).hidden = refused;
  place.querySelector(".outcome").replaceChildren(...(refused ? [sentence(found.refused)] : outcome(found)));
  if (!refused) {
    for (const [part, picture] of Object.entries(found.pictures)) place.querySelector(`img.${part}`).src = picture;
    place.querySelector("img.before").alt = "A crop before the attack";
    place.querySelector("img.noise").alt = `The noise, multiplied by ${found.gain}`;
    place.querySelector("img.after").alt = "The crop after the attack";
    place.querySelector(".gain").textContent = `noise × ${found.gain}`;
    renderRow(place.querySelector(".row-before"), found.before, name);
    renderRow(place.querySelector(".row-after"), found.after, name);
    place.querySelector(".facts").textContent = factsOf(found);
  }
  renderCurve(wanted, name);
}

function outcome(found) {
  const before = found.before.verdict, after = found.after.verdict;
  const word = (verdict) => element("b", { class: kindOf(verdict, found.detector) }, verdict);
  if (before === after) return ["Stays ", word(after)];
  return [word(before), " → ", word(after)];
}

function renderRow(row, said, name) {
  const [verdict, score, ratio] = row.querySelectorAll("td");
  verdict.textContent = said.verdict;
  verdict.className = kindOf(said.verdict, name);
  score.textContent = said.score == null ? "–" : fixed(said.score);
  ratio.textContent = said.in_figures ?? "–";
}

function factsOf(found) {
  const [y, x] = found.corner;
  const parts = [
    `Attacked away from “${found.away_from}”, the class this detector favoured, ${found.whole ? "in the whole photograph" : `in the ${found.crops} crops it judges`}.`,
    found.decibels == null ? "Nothing changed." : `PSNR there ${found.decibels.toFixed(1)} dB; no level changed by more than ${found.largest_change}.`,
  ];
  if (found.crops_kept < found.crops) parts.push(`${found.crops - found.crops_kept} of the crops moved when the photograph was judged again.`);
  parts.push(`Shown: ${found.side} × ${found.side} px at (${x}, ${y}). ${found.seconds.toFixed(2)} s.`);
  return parts.join(" ");
}

function renderCurve(wanted, name) {
  const points = [];
  for (let level = 0; level <= 15; level++) {
    const found = remembered.get(keyOf(wanted, name, level));
    if (found?.after?.score != null) points.push([level, found.after.score]);
  }
  const holder = side(name).querySelector(".curve");
  holder.querySelector("svg")?.remove();
  holder.hidden = points.length === 0;
  if (points.length) holder.prepend(curve(points, name, wanted.budget));
}

function curve(points, name, now) {
  const [to, from] = zones(name);
  const scores = points.map(([, score]) => score);
  const low = Math.min(...scores, to) - 0.5, high = Math.max(...scores, from) + 0.5;
  const left = 34, right = 392, top = 6, bottom = 150;
  const across = (level) => left + (right - left) * level / 15;
  const up = (score) => bottom - (bottom - top) * (score - low) / (high - low);
  const band = (kind, above, below) => drawn("rect", { class: `zone-${kind}`, x: left, width: right - left, y: above, height: Math.max(0, below - above) });
  // At the end where the line is not.
  const called = (kind, word, y, begins) => drawn("text", { x: begins ? right - 5 : left + 5, y, "text-anchor": begins ? "end" : "start", class: kind }, word);
  const [first, other] = words(name);
  const text = `Score against ε: ${points.map(([level, score]) => `${level}: ${score.toFixed(1)}`).join(", ")}`;
  const made = drawn("svg", { viewBox: "0 0 400 172", role: "img", "aria-label": text },
    band("other", top, up(from)), band("class-0", up(to), bottom),
    called("other", other, top + 14, scores[0] > from), called("class-0", first, bottom - 6, scores[0] <= to));
  for (const level of [0, 5, 10, 15]) {
    made.append(drawn("text", { x: across(level), y: bottom + 17, "text-anchor": "middle" }, `${level === 0 ? "ε = " : ""}${level}`));
  }
  for (const score of [low + 0.5, high - 0.5]) {
    made.append(drawn("text", { x: left - 6, y: up(score) + 4, "text-anchor": "end" }, fixed(score, 1)));
  }
  made.append(drawn("polyline", { class: "line", points: points.map(([level, score]) => `${across(level)},${up(score)}`).join(" ") }));
  for (const [level, score] of points) {
    made.append(drawn("circle", { class: level === now ? "now" : "dot", cx: across(level), cy: up(score), r: level === now ? 6 : 2.5 }));
  }
  return made;
}

// ---- Reports and results ----

// As few parts as a request can hold: so many files, so many bytes (and some for the form itself).
function batches(all) {
  const made = [];
  let files = [], bytes = 0;
  for (const photo of all) {
    const size = photo.file.size + 2 * photo.name.length + FORM_BYTES;
    if (files.length && (files.length === LIMITS.files || bytes + size > LIMITS.bytes)) {
      made.push(files);
      [files, bytes] = [[], 0];
    }
    files.push(photo);
    bytes += size;
  }
  return files.length ? [...made, files] : made;
}

async function report() {
  const button = $("report");
  const parts = batches(photos.filter((photo) => photo.file.size + FORM_BYTES <= LIMITS.bytes));
  const passed = photos.length - parts.flat().length;
  button.disabled = true;
  forgetReports();
  try {
    if (!parts.length) throw new Refusal(`every photograph is larger than a request may be (${megabytes(LIMITS.bytes)})`);
    const links = [];
    for (const [number, part] of parts.entries()) {
      tell(parts.length === 1 ? "creating the report …" : `creating report ${number + 1} of ${parts.length} …`);
      const form = new FormData();
      for (const photo of part) form.append("file", photo.file, photo.name);
      const answer = await ask(`/v1/reports?detector=${detector()}`, { method: "POST", body: form });
      const name = parts.length === 1 ? "trueshot-report.html" : `trueshot-report-${number + 1}-of-${parts.length}.html`;
      links.push(element("a", { href: URL.createObjectURL(await answer.blob()), download: name }, name));
      $("reports").append(element("li", {}, links.at(-1), ` (${part.length} photographs)`));
    }
    $("reports").hidden = links.length < 2;
    if (links.length === 1) links[0].click();
    const left = passed ? `; ${passed} left out as too large` : "";
    tell((links.length < 2 ? "the report is ready" : `${links.length} reports are ready (a request holds at most ${LIMITS.files} photographs and ${megabytes(LIMITS.bytes)})`) + left);
  } catch (error) {
    tell(`no report: ${reasonOf(error)}`);
  } finally {
    button.disabled = false;
  }
}

function forgetReports() {
  for (const link of $("reports").querySelectorAll("a")) URL.revokeObjectURL(link.href);
  $("reports").replaceChildren();
  $("reports").hidden = true;
}

// What was said of each photograph, without the pictures: the record of a scan.
function records() {
  return photos.map((photo) => {
    const found = photo.found[detector()];
    const file = printable(photo.name);
    if (found?.state !== "done") return { file, verdict: "pending" };
    return Object.fromEntries(["file", ...COLUMNS].map((name) => [name, name === "file" ? file : found[name] ?? null]));
  });
}

// A name as a scan writes it: what would act on a terminal, or turn other text, is escaped.
function printable(name) {
  const hidden = /(?![\u200c\u200d])[\p{C}\p{Zl}\p{Zp}]/gu;
  const alike = /\\(?:[nrt\\]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})/;
  if (name.search(hidden) < 0 && !alike.test(name)) return name;
  return name.replaceAll("\\", "\\\\").replace(hidden, (character) => {
    const code = character.codePointAt(0).toString(16);
    const [letter, digits] = code.length < 3 ? ["x", 2] : code.length < 5 ? ["u", 4] : ["U", 8];
    return { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character] ?? `\\${letter}${code.padStart(digits, "0")}`;
  });
}

function save(name, type, ...parts) {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  tell(`${name} is ready`);
}

// A spreadsheet takes a text that begins so for a formula.
function cell(value) {
  const text = Array.isArray(value) ? value.join(" | ") : value == null ? "" : String(value);
  const harmless = typeof value === "number" || !/^[=+\-@\t\r]/.test(text) ? text : `'${text}`;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

function saveCsv() {
  const columns = ["file", ...COLUMNS];
  const rows = [columns, ...records().map((record) => columns.map((name) => record[name]))];
  const text = rows.map((row) => row.map(cell).join(",")).join("\r\n");
  save("trueshot-results.csv", "text/csv", "\ufeff", text, "\r\n");
}

const saveJson = () => save("trueshot-results.json", "application/json", JSON.stringify(records(), null, 1), "\n");

// ---- What people do ----

$("files").addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => { if (event.clipboardData?.files.length) take(event.clipboardData.files); });
$("detectors").addEventListener("change", () => { for (const photo of photos) judge(photo, detector()); render(); });
$("views").addEventListener("change", render);
$("methods").addEventListener("change", () => attackSoon(0));
$("budget").addEventListener("input", () => attackSoon());
$("report").addEventListener("click", report);
$("as-csv").addEventListener("click", saveCsv);
$("as-json").addEventListener("click", saveJson);
$("clear").addEventListener("click", () => { for (const photo of [...photos]) remove(photo); forgetReports(); tell("all removed"); });
new ResizeObserver(() => { if (chosen) render(); }).observe($("photo"));

// Attacks cost time; they begin once they can be seen.
let inSight = false;
new IntersectionObserver(([entry]) => {
  const before = inSight;
  inSight = entry.isIntersecting;
  if (inSight && !before && chosen) attackSoon(0);
}).observe($("attack"));

ask("/v1/detectors").then((answer) => answer.json()).then((found) => {
  cards = Object.fromEntries(found.map((each) => [each.name, each]));
  render();
}).catch((error) => tell(reasonOf(error)));
