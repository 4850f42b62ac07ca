// Start: unpack the data, then fill the parts that need them.

const start = async () => {
  const run = new Run(await unpack("data"));
  run.images = await unpack("images");
  Object.assign(state, { threshold: run.own, ...run.start });
  for (const part of document.querySelectorAll(".live")) part.hidden = false;
  new Frontier(run);
  const detail = new Detail(run);
  new Inputs(run, (row, order) => detail.open(row, order));
  document.documentElement.dataset.ready = "yes";
};

start().catch((error) => {
  for (const part of document.querySelectorAll(".live")) part.hidden = true;
  document.getElementById("cannot").hidden = false;
  console.error(error);
});
