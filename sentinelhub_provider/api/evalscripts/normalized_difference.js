//VERSION=3
// ABOUT; -1 to 1, NaN where it is not defined.
function setup() {
  return {
    input: ["ONE", "OTHER", "dataMask"],
    output: [
      { id: "default", bands: 1, sampleType: "FLOAT32" },
      { id: "dataMask", bands: 1, sampleType: "UINT8" },
    ],
  };
}

function evaluatePixel(sample) {
  const sum = sample.ONE + sample.OTHER;
  const known = sample.dataMask === 1 && sum !== 0;
  return {
    default: [known ? (sample.ONE - sample.OTHER) / sum : NaN],
    dataMask: [known ? 1 : 0],
  };
}
