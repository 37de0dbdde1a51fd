"""Plugins and their components: found, checked, described; importers and exporters as stages."""
