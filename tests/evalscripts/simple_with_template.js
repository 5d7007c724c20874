//VERSION=3
const shown = `${B08 > B04 ? "green" : "bare"}`;
return [shown === "green" ? 1 : B04, B04, B04];
