// Runs an evalscript for the host: reads its setup, calls its hooks, and evaluates its pixels over shared buffers.
// The host calls the functions of the object that this script evaluates to; texts pass as JSON, pixels as ArrayBuffers.
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
  let mosaicking = "SIMPLE";
  let bandNames = [];
  let makeSample = null;

  function missing() {
    const lacking = [];
    if (typeof setup !== "function") lacking.push("setup");
    if (typeof evaluatePixel !== "function") lacking.push("evaluatePixel");
    return stringify(lacking);
  }

  function describe() {
    const result = setup();
    if (result === null || typeof result !== "object" || isArray(result)) {
      throw new ContractError("Function setup() must return an object.");
    }
    return stringify({ input: result.input, output: result.output, mosaicking: result.mosaicking });
  }

  // Lets preProcessScenes() choose among the scenes; answers with the numbers of those it kept, in its order.
  function chooseScenes(text) {
    const { from, to, key, entries } = parse(text);
    const all = entries.map((entry, i) => i);
    if (typeof preProcessScenes !== "function" || key === null) return stringify(all);
    const numbered = entries.map((entry, i) => ({ ...entry, __number: i }));
    const collections = { scenes: { [key]: numbered } };
    if (key === "orbits") Object.assign(collections, { from: new Date(from), to: new Date(to) });
    const chosen = preProcessScenes(collections);
    const list = chosen && chosen.scenes && chosen.scenes[key];
    if (!isArray(list)) {
      throw new ContractError(`Function preProcessScenes() must return an object with an array scenes.${key}.`);
    }
    return stringify(list.map((entry) => entry.__number).filter((number) => Number.isInteger(number)));
  }

  function begin(text) {
    const request = parse(text);
    mosaicking = request.mosaicking;
    bandNames = request.bands;
    shared.scenes = request.scenes;
    outputs = request.outputs.map((output) => ({ ...output }));
    if (typeof updateOutput === "function") {
      const counts = Object.fromEntries(outputs.map((output) => [output.id, { bands: output.bands }]));
      updateOutput(counts, { scenes: request.dates.map((date) => ({ date: new Date(date) })) });
      for (const output of outputs) output.bands = counts[output.id].bands;
    }
    // An object literal with fixed names gives every sample the same hidden class, which keeps V8 fast.
    const fields = bandNames.map((name, k) => `${stringify(name)}: bands[${k}][i]`);
    makeSample = new Function("bands", "i", `return {${fields.join(", ")}};`);
    return stringify(outputs.map((output) => output.bands));
  }

  function inputBuffer(sample, band, size) {
    while (inputs.length <= sample) inputs.push([]);
    inputs[sample][band] = new Float32Array(size);
    return inputs[sample][band].buffer;
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

  function run(size, sampleCount) {
    const { scenes, inputMetadata, customData, outputMetadata } = shared;
    const single = outputs.length === 1 ? outputs[0] : null;
    for (let i = 0; i < size; i++) {
      let samples;
      if (mosaicking === "SIMPLE") {
        samples = makeSample(inputs[0], i);
      } else {
        samples = new Array(sampleCount);
        for (let s = 0; s < sampleCount; s++) samples[s] = makeSample(inputs[s], i);
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

  return { missing, describe, chooseScenes, begin, inputBuffer, outputBuffer, run, finish };
})();
//# sourceURL=driver.js
