# filled by its sources
