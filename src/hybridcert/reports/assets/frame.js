// What every page has: light or dark as the system says, until somebody chooses; wide tables that keys can scroll.

const THEMES = ["system", "light", "dark"];

const remembered = () => {
  try {
    return localStorage.getItem("hybridcert-theme");
  } catch {
    return null;
  }
};

const setTheme = (theme) => {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  document.getElementById("theme").textContent = "Theme: " + theme;
  const dark = { system: "(prefers-color-scheme: dark)", light: "not all", dark: "all" }[theme];
  for (const source of document.querySelectorAll("picture source")) source.media = dark;
  try {
    localStorage.setItem("hybridcert-theme", theme);
  } catch {
    // A page opened from a file may not remember.
  }
};

const startTheme = () => {
  const button = document.getElementById("theme");
  button.hidden = false;
  let theme = THEMES.includes(remembered()) ? remembered() : "system";
  setTheme(theme);
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    setTheme(theme);
  });
};

const reachScrollers = () => {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};

startTheme();
reachScrollers();
addEventListener("resize", reachScrollers);
