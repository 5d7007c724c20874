// Runs an evalscript for the host. It reads the setup, calls the hooks, and evaluates the pixels in shared buffers.
// The host calls the functions of globalThis.__host. Texts pass as JSON, and pixels as ArrayBuffers.
"use strict";
globalThis.__host = (function () {
  const { stringify, parse } = JSON;
  const isArray = Array.isArray;

  class ContractError extends Error {}

  const shared = {
    scenes: {},
    inputMetadata: { serviceVersion: "sandbox", normalizationFactor: 0.0001 },
    customData: {},
    outputMetadata: {},
  };
  let inputs = [];
  let outputs = [];

  function missing() {
    const lacking = [];
    if (typeof setup !== "function") lacking.push("setup");
    if (typeof evaluatePixel !== "function") lacking.push("evaluatePixel");
    return stringify(lacking);
  }

  // Calls a simple script with 0.5 in all bands, to find out how many values it returns.
  function probe(count) {
    const returned = __simple(...new Array(count).fill(0.5));
    return stringify(isArray(returned) || ArrayBuffer.isView(returned) ? returned.length : 1);
  }
  function describe() {
    const result = setup();
    if (result === null || typeof result !== "object" || isArray(result)) {
      throw new ContractError("Function setup() must return an object.");
    }
    const { input, output, mosaicking } = result;
    // JSON would turn infinity and NaN into null. In many scripts, NaN stands for no data.
    const spelled = (key, value) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value);
    return stringify({ input, output, mosaicking }, spelled);
  }

  // Makes the scenes that a script gets. They are an array that also has the lists orbits and tiles. The date of its
  // elements is a Date. The entries of the lists have texts, as the documentation shows them.
  function sceneArray(field, entries) {
    const scenes = entries.map((entry) => ({ ...entry, date: new Date(entry.date || entry.dateFrom) }));
    if (field !== null) {
      scenes[field] = entries;
      scenes[field === "orbits" ? "tiles" : "orbits"] = field === "orbits" ? entries.flatMap((e) => e.tiles) : [];
    }
    // Their JSON has the lists only, as the documentation shows them.
    Object.defineProperty(scenes, "toJSON", { value: () => (field === null ? {} : { [field]: entries }) });
    return scenes;
  }
  const moment = (scene) => new Date(scene.dateFrom || scene.date).getTime();
  // Finds a returned scene among the offered ones, by the number that copies keep. A new object without the number is
  // found by its dataPath, shId or time.
  function numberOf(returned, entries) {
    if (returned === null || typeof returned !== "object") {
      throw new ContractError("preProcessScenes() and filterScenes() must return scenes, not other values.");
    }
    if (Number.isInteger(returned.__idx)) return returned.__idx;
    const same = (entry) =>
      returned.dataPath !== undefined || returned.shId !== undefined
        ? returned.dataPath === entry.dataPath || returned.shId === entry.shId
        : moment(returned) === moment(entry);
    const found = entries.findIndex(same);
    if (found < 0) {
      throw new ContractError("preProcessScenes() and filterScenes() must return scenes that they were given.");
    }
    return found;
  }
  // Calls preProcessScenes() and filterScenes(), its older form, for the scenes of each input. Returns the numbers of
  // the kept scenes, in the script's order. Only preProcessScenes() of fused inputs gets the scenes under their keys.
  function chooseScenes(text) {
    const offers = parse(text);
    const asked = offers.filter(({ field }) => field !== null);
    let chosen = offers.map(({ entries }) => entries.map((entry, i) => i));
    if (asked.length > 0 && typeof preProcessScenes === "function") chosen = preProcess(offers, asked, chosen);
    if (asked.length > 0 && typeof filterScenes === "function") chosen = filtered(offers, chosen);
    return stringify(chosen);
  }
  // Orbits have no tiles until the scenes are chosen.
  function numbered(field, entries, numbers) {
    const hidden = field === "orbits" ? { tiles: [] } : {};
    return numbers.map((number) => ({ ...entries[number], ...hidden, __idx: number }));
  }
  function preProcess(offers, asked, everything) {
    const collections = {};
    for (const { key, field, entries, from, to } of asked) {
      const offer = { scenes: sceneArray(field, numbered(field, entries, [...entries.keys()])) };
      if (field === "orbits") Object.assign(offer, { from: new Date(from), to: new Date(to) });
      if (key === null) Object.assign(collections, offer);
      else collections[key] = offer;
    }
    const answer = preProcessScenes(collections);
    return offers.map(({ key, field, entries }, i) => {
      if (field === null) return everything[i];
      const own = answer && key !== null ? answer[key] : answer;
      const list = own && own.scenes && (own.scenes[field] || own.scenes);
      if (!isArray(list)) {
        const place = (key === null ? "" : `${key}.`) + `scenes.${field}`;
        throw new ContractError(`Function preProcessScenes() must return an object with an array ${place}.`);
      }
      return list.map((scene) => numberOf(scene, entries));
    });
  }
  function filtered(offers, chosen) {
    return offers.map(({ field, entries, from, to }, i) => {
      if (field === null) return chosen[i];
      const metadata = { ...shared.inputMetadata, from: new Date(from), to: new Date(to) };
      const list = filterScenes(sceneArray(field, numbered(field, entries, chosen[i])), metadata);
      if (!isArray(list)) throw new ContractError("Function filterScenes() must return an array of scenes.");
      return list.map((scene) => numberOf(scene, entries));
    });
  }
  function begin(text) {
    const request = parse(text);
    const collections = {};
    const scenes = {};
    request.inputs.forEach(({ key, field, entries }) => {
      const found = sceneArray(field, entries.map((entry, i) => ({ ...entry, __idx: i })));
      if (key === null) Object.assign(collections, { scenes: found });
      else collections[key] = { scenes: found };
      scenes[key] = found;
    });
    shared.scenes = request.inputs[0].key === null ? collections.scenes : scenes;
    outputs = request.outputs.map((output) => ({ ...output }));
    if (typeof updateOutput === "function") {
      const counts = Object.fromEntries(outputs.map((output) => [output.id, { bands: output.bands }]));
      updateOutput(counts, collections);
      for (const output of outputs) output.bands = counts[output.id].bands;
    }
    inputs = request.inputs.map(({ key, simple, bands }) => {
      // An object literal with fixed names gives every sample the same hidden class, which keeps V8 fast.
      const fields = bands.map((name, k) => `${stringify(name)}: bands[${k}][i]`);
      const makeSample = new Function("bands", "i", `return {${fields.join(", ")}};`);
      return { key, simple, makeSample, buffers: [] };
    });
    return stringify(outputs.map((output) => output.bands));
  }
  function inputBuffer(input, sample, band, size) {
    const { buffers } = inputs[input];
    while (buffers.length <= sample) buffers.push([]);
    buffers[sample][band] = new Float32Array(size);
    return buffers[sample][band].buffer;
  }

  function outputBuffer(number, size) {
    outputs[number].values = new Float64Array(size * outputs[number].bands);
    return outputs[number].values.buffer;
  }

  function write(output, pixel, returned) {
    const { bands, values, id } = output;
    if (!isArray(returned) && !ArrayBuffer.isView(returned)) {
      throw new ContractError(
        returned === undefined ? `Script must return an array for output '${id}'.` : "Script must return an array."
      );
    }
    if (returned.length !== bands) {
      throw new ContractError(
        `Script must return an array of ${bands} value(s) for output '${id}', as setup() says; it returned ` +
          `${returned.length}.`
      );
    }
    const at = pixel * bands;
    for (let k = 0; k < bands; k++) values[at + k] = +returned[k];
  }

  function sampleList({ makeSample, buffers }, count, i) {
    const samples = new Array(count);
    for (let s = 0; s < count; s++) samples[s] = makeSample(buffers[s], i);
    return samples;
  }

  function run(size, counts) {
    const { scenes, inputMetadata, customData, outputMetadata } = shared;
    const single = outputs.length === 1 ? outputs[0] : null;
    const { key, simple, makeSample, buffers } = inputs[0];
    for (let i = 0; i < size; i++) {
      let samples;
      if (key !== null) {
        samples = {};
        for (let n = 0; n < inputs.length; n++) samples[inputs[n].key] = sampleList(inputs[n], counts[n], i);
      } else if (simple) {
        samples = makeSample(buffers[0], i);
      } else {
        samples = sampleList(inputs[0], counts[0], i);
      }
      const returned = evaluatePixel(samples, scenes, inputMetadata, customData, outputMetadata);
      if (returned === undefined) continue;
      if (single !== null && (isArray(returned) || ArrayBuffer.isView(returned))) {
        write(single, i, returned);
      } else if (returned === null || typeof returned !== "object" || isArray(returned)) {
        throw new ContractError(
          single !== null ? "Script must return an array." : "Script must return an object with one array per output."
        );
      } else {
        for (const output of outputs) write(output, i, returned[output.id]);
      }
    }
  }

  function finish() {
    if (typeof updateOutputMetadata === "function") {
      updateOutputMetadata(shared.scenes, shared.inputMetadata, shared.outputMetadata);
    }
    const text = stringify(shared.outputMetadata.userData);
    return text === undefined ? "null" : text;
  }

  return { missing, probe, describe, chooseScenes, begin, inputBuffer, outputBuffer, run, finish };
})();
//# sourceURL=driver.js
