"""For developers: packaging, checks of the plugin site, translations, the demo, tests of faults and versions."""
